'use strict';

// @alicloud/mns signs with HMAC-SHA1, sends base64 of the hexadecimal MD5, leaves receipt handles as they are in the URL, and
// escapes nothing in the XML that it sends.

const assert = require('node:assert/strict');
const test = require('node:test');
const crypto = require('node:crypto');
const MNS = require('@alicloud/mns');
const env = require('./env');

const client = connect({});
let queues = 0;

function connect(changes) {
  return new MNS('1234567890123456', {
    endpoint: env.mns, region: env.region,
    accessKeyId: env.accessKeyId, accessKeySecret: env.accessKeySecret, securityToken: env.securityToken, ...changes,
  });
}

async function newQueue(params) {
  queues += 1;
  const name = `queue-${queues}`;
  await client.createQueue(name, params);
  return name;
}

const md5 = (text) => crypto.createHash('md5').update(text).digest('hex').toUpperCase();
const rejectsWith = (promise, code) => assert.rejects(promise, (err) => {
  assert.equal(err.name, `MNS${code}Error`, err.message);
  return true;
});

test('a queue is made once, found made again, and not made otherwise', async () => {
  const first = await client.createQueue('same', { VisibilityTimeout: 60 });
  assert.equal(first.code, 201);
  assert.match(first.headers.location, /\/queues\/same$/);
  assert.equal((await client.createQueue('same', { VisibilityTimeout: 60 })).code, 204);
  await rejectsWith(client.createQueue('same', { VisibilityTimeout: 61 }), 'QueueAlreadyExist');

  await client.setQueueAttributes('same', { VisibilityTimeout: 90 });
  const { body } = await client.getQueueAttributes('same');
  assert.equal(body.QueueName, 'same');
  assert.equal(body.VisibilityTimeout, '90');
  assert.equal(body.MessageRetentionPeriod, '345600');
  assert.match(body.CreateTime, /^\d{10}$/, 'in seconds');

  const { body: list } = await client.listQueue('', 10, 'same');
  assert.ok(JSON.stringify(list).includes('/queues/same'));
  assert.equal((await client.deleteQueue('same')).code, 204);
  await rejectsWith(client.getQueueAttributes('same'), 'QueueNotExist');
});

test('a message is sent, received and deleted', async () => {
  const queue = await newQueue();
  const sent = await client.sendMessage(queue, { MessageBody: '{"regionId":"cn-hangzhou"}', Priority: 8 });
  assert.equal(sent.code, 201);
  assert.match(sent.body.MessageId, /^[0-9A-F]{32}$/);
  assert.equal(sent.body.MessageBodyMD5, md5('{"regionId":"cn-hangzhou"}'));

  const { body } = await client.receiveMessage(queue, 1);
  assert.equal(body.MessageBody, '{"regionId":"cn-hangzhou"}');
  assert.equal(body.MessageId, sent.body.MessageId);
  assert.equal(body.DequeueCount, '1');
  assert.match(body.EnqueueTime, /^\d{13}$/, 'in milliseconds');
  assert.equal((await client.deleteMessage(queue, body.ReceiptHandle)).code, 204);
  await rejectsWith(client.deleteMessage(queue, body.ReceiptHandle), 'MessageNotExist');
  await rejectsWith(client.receiveMessage(queue), 'MessageNotExist');
});

test('a handle dies when the visibility changes, and the message comes back when its time is over', async () => {
  const queue = await newQueue({ VisibilityTimeout: 600 });
  await client.sendMessage(queue, { MessageBody: 'again', Priority: 8 });
  const { body: first } = await client.receiveMessage(queue);
  const { body: changed } = await client.changeMessageVisibility(queue, first.ReceiptHandle, 1);
  assert.notEqual(changed.ReceiptHandle, first.ReceiptHandle);
  await rejectsWith(client.deleteMessage(queue, first.ReceiptHandle), 'MessageNotExist');
  const { body: second } = await client.receiveMessage(queue, 30);
  assert.equal(second.MessageBody, 'again');
  assert.equal(second.DequeueCount, '2');
});

test('a delayed message comes when it is due', async () => {
  const queue = await newQueue();
  await client.sendMessage(queue, { MessageBody: 'tick', DelaySeconds: 30, Priority: 8 });
  await rejectsWith(client.receiveMessage(queue), 'MessageNotExist');
  assert.equal((await client.receiveMessage(queue, 30)).body.MessageBody, 'tick');
});

test('sixteen messages go in one call, and one handle too old spoils only its own', async () => {
  const queue = await newQueue();
  const bodies = Array.from({ length: 16 }, (_, i) => ({ MessageBody: `message ${i}`, Priority: 8 }));
  assert.equal((await client.batchSendMessage(queue, bodies)).body.length, 16);
  await rejectsWith(client.batchSendMessage(queue, bodies.concat(bodies[0])), 'InvalidArgument');

  const received = [];
  while (received.length < 16) {
    const { body } = await client.batchReceiveMessage(queue, 16, 1);
    received.push(...body);
  }
  assert.equal(new Set(received.map((m) => m.MessageBody)).size, 16);

  const handles = received.map((m) => m.ReceiptHandle);
  await client.deleteMessage(queue, handles[0]);
  const partly = await client.batchDeleteMessage(queue, handles);
  assert.equal(partly.code, 404);
  assert.deepEqual(partly.body.map((e) => [e.ErrorCode, e.ReceiptHandle]), [['MessageNotExist', handles[0]]]);
});

test('peeking changes nothing', async () => {
  const queue = await newQueue();
  await client.sendMessage(queue, { MessageBody: 'look', Priority: 8 });
  const { body: peeked } = await client.peekMessage(queue);
  assert.equal(peeked.MessageBody, 'look');
  assert.equal(peeked.ReceiptHandle, undefined);
  assert.equal((await client.receiveMessage(queue)).body.DequeueCount, '1');
});

test('limits are kept', async () => {
  const queue = await newQueue();
  await rejectsWith(client.sendMessage(queue, { MessageBody: 'x', Priority: 0 }), 'InvalidArgument');
  await rejectsWith(client.sendMessage(queue, { MessageBody: 'x', Priority: 17 }), 'InvalidArgument');
  await rejectsWith(client.sendMessage(queue, { MessageBody: 'x', Priority: 8, DelaySeconds: 604801 }), 'InvalidArgument');
  await rejectsWith(client.sendMessage(queue, { MessageBody: 'x'.repeat(65537), Priority: 8 }), 'InvalidArgument');
  assert.equal((await client.sendMessage(queue, { MessageBody: 'x'.repeat(65536), Priority: 8 })).code, 201);
  await rejectsWith(client.sendMessage(queue, { MessageBody: 'an unescaped & breaks the XML', Priority: 8 }), 'MalformedXML');
  await rejectsWith(client.sendMessage('nobody', { MessageBody: 'x', Priority: 8 }), 'QueueNotExist');
});

test('a topic hands on to its subscriber what carries the tag, in the JSON envelope', async () => {
  assert.equal((await client.createTopic('own')).code, 201);
  assert.equal((await client.getTopicAttributes('own')).body.TopicName, 'own');

  await client.publishMessage('news', { MessageBody: 'not for you', MessageTag: 'refused' });
  const published = await client.publishMessage('news', { MessageBody: '{"status":"accepted"}', MessageTag: 'accepted' });
  assert.equal(published.code, 201);
  const { body } = await client.receiveMessage('fan-out', 30);
  const envelope = JSON.parse(body.MessageBody);
  assert.equal(envelope.Message, '{"status":"accepted"}');
  assert.equal(envelope.MessageId, published.body.MessageId);
  assert.equal(envelope.MessageTag, 'accepted');
  assert.equal(envelope.TopicName, 'news');
  assert.equal(envelope.MessageMD5, md5('{"status":"accepted"}'));
  await client.deleteMessage('fan-out', body.ReceiptHandle);
  await rejectsWith(client.receiveMessage('fan-out'), 'MessageNotExist');
  await rejectsWith(client.publishMessage('nobody', { MessageBody: 'x' }), 'TopicNotExist');
});

test('who does not prove who they are gets no answer', async () => {
  await rejectsWith(connect({ accessKeyId: 'STS.nobody' }).getQueueAttributes('fan-out'), 'InvalidAccessKeyId');
  await rejectsWith(connect({ accessKeySecret: 'another secret' }).getQueueAttributes('fan-out'), 'SignatureDoesNotMatch');
  await assert.rejects(connect({ securityToken: 'another token' }).getQueueAttributes('fan-out'), /failed with 403/);
});
