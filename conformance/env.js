'use strict';

// Where the stand-ins are and what they accept, as conformance_test.go hands it over.

function need(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run these tests with make conformance`);
  return value;
}

module.exports = {
  accessKeyId: need('REGILD_TEST_AK'),
  accessKeySecret: need('REGILD_TEST_SK'),
  securityToken: need('REGILD_TEST_TOKEN'),
  region: need('REGILD_TEST_REGION'),
  ecd: need('REGILD_TEST_ECD'),
  mns: need('REGILD_TEST_MNS'),
  oss: need('REGILD_TEST_OSS'),

  // until asks again and again until the answer pleases, for ten seconds at most.
  async until(ask, pleases) {
    const deadline = Date.now() + 10000;
    for (;;) {
      const answer = await ask();
      if (pleases(answer)) return answer;
      if (Date.now() > deadline) throw new Error(`still not after 10 seconds: ${JSON.stringify(answer)}`);
    }
  },
};
