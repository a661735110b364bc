// Package deploy holds s.yaml and the RAM policies to their contracts.
//
// Serverless Devs checks s.yaml loosely: a key it does not know is dropped without a word, and a deployment whose file breaks
// its schema only says so at debug level. What it leaves undone is done by the tests here, against props.schema.json: every
// key, every bound and every enumeration that component fc3 and Function Compute 3.0 document, and nothing beyond what regild
// uses. A key that is needed some day is added to the schema with the page it comes from.
//
// Directory pack is the command that builds the zip; package.json pins Serverless Devs for `make preview` and `make deploy`.
package deploy
