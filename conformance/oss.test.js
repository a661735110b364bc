'use strict';

// ali-oss signs with OSS4-HMAC-SHA256 when asked to, and with the older HMAC-SHA1 by default.

const assert = require('node:assert/strict');
const test = require('node:test');
const OSS = require('ali-oss');
const env = require('./env');

const client = connect({});

function connect(changes) {
  return new OSS({
    endpoint: env.oss, region: `oss-${env.region}`, bucket: 'journal', sldEnable: true, authorizationV4: true,
    accessKeyId: env.accessKeyId, accessKeySecret: env.accessKeySecret, stsToken: env.securityToken, ...changes,
  });
}

const rejectsWith = (promise, status, code) => assert.rejects(promise, (err) => {
  assert.equal(err.status, status, err.message);
  assert.equal(err.code, code, err.message);
  return true;
});

for (const [name, changes] of [['V4', {}], ['V1', { authorizationV4: false }]]) {
  const signer = connect(changes);

  test(`signed with ${name}, an append at the right place is one, and anywhere else none`, async () => {
    const key = `requests/${name}/it's (50%) *new* ~ü+&=.jsonl`;
    const first = await signer.append(key, Buffer.from('one\n'));
    assert.equal(first.nextAppendPosition, '4');
    const second = await signer.append(key, Buffer.from('two\n'), { position: first.nextAppendPosition });
    assert.equal(second.nextAppendPosition, '8');
    await rejectsWith(signer.append(key, Buffer.from('late\n'), { position: '4' }), 409, 'PositionNotEqualToLength');
    await rejectsWith(signer.append(key, Buffer.from('early\n'), { position: '9' }), 409, 'PositionNotEqualToLength');

    assert.equal((await signer.get(key)).content.toString(), 'one\ntwo\n');
    const head = await signer.head(key);
    assert.equal(head.res.headers['content-length'], '8');
    assert.equal(head.res.headers['x-oss-object-type'], 'Appendable');
    assert.equal(head.res.headers['x-oss-next-append-position'], '8');
  });

  test(`signed with ${name}, a reader gets what is new since it last read`, async () => {
    const key = `ranges-${name}.jsonl`;
    await signer.append(key, Buffer.from('one\ntwo\n'));
    const tail = await signer.get(key, { headers: { Range: 'bytes=4-' } });
    assert.equal(tail.res.status, 206);
    assert.equal(tail.content.toString(), 'two\n');
    assert.equal(tail.res.headers['content-range'], 'bytes 4-7/8');
    // Past the end OSS answers with the whole object, unless the standard behaviour is asked for.
    const whole = await signer.get(key, { headers: { Range: 'bytes=8-' } });
    assert.equal(whole.res.status, 200);
    assert.equal(whole.content.toString(), 'one\ntwo\n');
    await rejectsWith(signer.get(key, { headers: { Range: 'bytes=8-', 'x-oss-range-behavior': 'standard' } }), 416, 'InvalidRange');
  });
}

test('what was put cannot be appended to', async () => {
  await client.put('put.txt', Buffer.from('all of it'));
  await rejectsWith(client.append('put.txt', Buffer.from('more'), { position: '9' }), 409, 'ObjectNotAppendable');
});

test('keys are listed in order, by prefix, in pages', async () => {
  for (const n of [3, 1, 2]) await client.append(`list/${n}.jsonl`, Buffer.from('x'));
  const first = await client.listV2({ prefix: 'list/', 'max-keys': '2' });
  assert.deepEqual(first.objects.map((o) => o.name), ['list/1.jsonl', 'list/2.jsonl']);
  assert.equal(first.isTruncated, true);
  const second = await client.listV2({ prefix: 'list/', 'max-keys': '2', 'continuation-token': first.nextContinuationToken });
  assert.deepEqual(second.objects.map((o) => [o.name, Number(o.size)]), [['list/3.jsonl', 1]]);
  assert.equal(second.isTruncated, false);
});

test('what was deleted is gone', async () => {
  await client.append('gone.jsonl', Buffer.from('x'));
  assert.equal((await client.delete('gone.jsonl')).res.status, 204);
  await rejectsWith(client.get('gone.jsonl'), 404, 'NoSuchKey');
  await rejectsWith(client.head('gone.jsonl'), 404, 'NoSuchKey');
  assert.equal((await client.append('gone.jsonl', Buffer.from('new'))).nextAppendPosition, '3');
});

test('who does not prove who they are gets no answer', async () => {
  await rejectsWith(connect({ accessKeyId: 'STS.nobody' }).get('x'), 403, 'InvalidAccessKeyId');
  await rejectsWith(connect({ accessKeySecret: 'another secret' }).get('x'), 403, 'SignatureDoesNotMatch');
  await rejectsWith(connect({ stsToken: 'another token' }).get('x'), 403, 'InvalidSecurityToken');
  await rejectsWith(connect({ bucket: 'nobody' }).get('x'), 404, 'NoSuchBucket');
});
