// Package conformance lets clients that nobody here wrote judge the local cloud: the vendor's npm packages @alicloud/pop-core
// (ECD), @alicloud/mns and ali-oss, at the versions of package-lock.json. They sign with other code than the Go SDKs do, in
// other ways (RPC with HMAC-SHA1, handles left unescaped in URLs), and read the answers with other parsers.
//
// The test starts the stand-ins on loopback and runs the *.test.js files against them; where they are and what they accept is
// handed over in the environment (env.js). It needs Node and the packages, so it is built with the tag conformance only:
//
//	make conformance
package conformance
