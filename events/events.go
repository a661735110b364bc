// Package events is the wire: every document that regild takes in or sends
// out, one contract a file, with the names exactly as they travel.
//
// What comes in is read by a parser that reports every fault at once
// (ParseRequest, ParseRelease, ParseActionTrail, ParseControl, ParseFreeze,
// ParseTick).
// What goes out is a plain struct with an Event method that puts it into a
// CloudEvent (Outcome, Refused, Finished, Rollout, Plan, Tick). The same
// contracts stand as JSON Schema 2020-12 in schema/ and as examples in
// samples/; tests hold types, schemas and samples in agreement.
//
// The package imports nothing of ours but patterns and parts of JSON, holds no clock and no client, and may
// be imported by a program that sends requests or reads outcomes.
package events

import "embed"

// CloudEvents types of what comes in.
const (
	TypeRequest = "regild.rebuild.requested.v1"
	TypeRelease = "regild.image.published.v1"
	TypeControl = "regild.rollout.control.v1"
	TypeFreeze  = "regild.freeze.v1"
	TypeTick    = "regild.tick.v1"
)

// CloudEvents types of what goes out. Those of a rollout are made by
// What.Type.
const (
	TypeOutcome  = "regild.desktop.outcome.v1"
	TypeRefused  = "regild.message.refused.v1"
	TypeFinished = "regild.request.finished.v1"
)

// Schemas holds the JSON Schemas of every contract. A file is named after the
// CloudEvents type whose data it describes; schema/cloudevent.json describes
// the whole message, schema/regild.rollout.v1.json all the rollout events but
// the plan, and schema/defs.json the words that the others share.
//
//go:embed schema/*.json
var Schemas embed.FS
