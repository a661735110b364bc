// Package conformance lets clients that nobody here wrote judge the local cloud: the vendor's npm packages @alicloud/pop-core
// (ECD), @alicloud/mns and ali-oss, at the versions of package-lock.json. They sign with other code than the Go SDKs do, in
// other ways (RPC with HMAC-SHA1, handles left unescaped in URLs), and read the answers with other parsers.
//
// Beside them the integration tests that ship in the module of the OSS SDK for Go judge the stand-in of OSS: ossgosdk_test.go says
// which of them it claims to pass, and why not the others.
//
// The tests start the stand-ins on loopback and run the *.test.js files and the SDK's tests against them; where they are and what they accept is
// handed over in the environment (env.js). It needs Node and the packages, so it is built with the tag conformance only:
//
//	make conformance
package conformance
