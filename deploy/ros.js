// Holds deploy/ros.yaml and deploy/ros-member.yaml to the vendor's own description of its resource types: every resource is made with the classes of
// @alicloud/ros-cdk-*, checking on, and what comes out must be what went in. A property that is missing or of the wrong type is
// refused by the class; one that it does not know vanishes, which the comparison finds. Values of enumerations are not checked,
// and the types of MNS, whose package cannot be had, are left to ros-mns.schema.json. `make ros` runs it.
'use strict'
const assert = require('node:assert')
const fs = require('node:fs')
const core = require('@alicloud/ros-cdk-core')
const packages = {
  OSS: require('@alicloud/ros-cdk-oss'),
  RAM: require('@alicloud/ros-cdk-ram'),
  SLS: require('@alicloud/ros-cdk-sls'),
  CMS: require('@alicloud/ros-cdk-cms'),
}

// The templates as JSON, from `go run ./deploy/rosjson`.
const [template, member] = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))

// The classes want names in their own case: RuleName is ruleName, ID is id. Only keys that the vendor declares are renamed; what is
// below a free-form property (a policy's conditions, a chart) keeps its spelling. In a trust policy, which the vendor describes more
// closely, a condition's operators are renamed, and their keys are not.
const intrinsic = (value) => value && typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length === 1 &&
  (Object.keys(value)[0] === 'Ref' || Object.keys(value)[0].startsWith('Fn::'))
const lower = (key) => key === key.toUpperCase() ? key.toLowerCase() : key[0].toLowerCase() + key.slice(1)
function renamed(value, name, trust = name === 'AssumeRolePolicyDocument') {
  if (intrinsic(value)) return core.Token.asAny(value)
  if (Array.isArray(value)) return value.map((v) => renamed(v, name, trust))
  if (!value || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, v]) => {
    if (trust && key === 'Condition') {
      return [lower(key), Object.fromEntries(Object.entries(v).map(([operator, keys]) => [lower(operator), tokens(keys)]))]
    }
    const keep = (key === 'Condition' && typeof v === 'object') || key === 'Charts' || (key === 'Resources' && name === 'Properties')
    return [lower(key), keep ? tokens(v) : renamed(v, key, trust || undefined)]
  }))
}
function tokens(value) {
  if (intrinsic(value)) return core.Token.asAny(value)
  if (Array.isArray(value)) return value.map(tokens)
  if (!value || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, tokens(v)]))
}

// check returns what is wrong, a sentence a resource, and how many were looked at.
function check(template) {
  const faults = []
  let checked = 0
  for (const [name, resource] of Object.entries(template.Resources)) {
    const [, product, kind] = resource.Type.split('::')
    if (product === 'MNS') continue
    try {
      const constructor = packages[product] && packages[product]['Ros' + kind]
      assert(constructor, 'the package has no such type')
      const stack = new core.Stack(new core.App({ outdir: process.argv[3] }), 'stack', {})
      new constructor(stack, name, renamed(resource.Properties, 'Properties'), true)
      const made = stack.node.root.synth().getStackByName(stack.stackName).template.Resources[name]
      assert.deepStrictEqual(made.Properties, resource.Properties)
      checked++
    } catch (error) {
      faults.push(`${name} (${resource.Type}): ${error.message.split('\nObject creation stack')[0]}`)
    }
  }
  return { faults, checked }
}

let checked = 0
for (const [of, least] of [[template, 30], [member, 3]]) {
  const found = check(of)
  if (found.faults.length || found.checked < least) {
    console.error(found.faults.join('\n\n') || `only ${found.checked} resources were checked`)
    process.exit(1)
  }
  checked += found.checked
}
// What is wrong must be noticed, or all of the above means nothing.
for (const [what, spoil] of [
  ['a required property is missing', (r) => { delete r.AlarmDeadLetters.Properties.MetricName }],
  ['a property is misspelt', (r) => { r.Logstore.Properties.Tttl = 90 }],
  ['a property has the wrong type', (r) => { r.LogIndex.Properties.FullTextIndex = 'yes' }],
  ['a type does not exist', (r) => { r.Dashboard.Type = 'ALIYUN::SLS::Dashbord' }],
]) {
  const broken = structuredClone(template)
  spoil(broken.Resources)
  if (check(broken).faults.length !== 1) {
    console.error(`not noticed: ${what}`)
    process.exit(1)
  }
}
console.log(`${checked} resources are as the vendor's types want them`)
