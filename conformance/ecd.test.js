'use strict';

// @alicloud/pop-core calls ECD in the RPC style: parameters signed with HMAC-SHA1, in the query (GET) or in a form (POST).

const assert = require('node:assert/strict');
const test = require('node:test');
const { RPCClient } = require('@alicloud/pop-core');
const env = require('./env');

const RegionId = env.region;
const client = connect({});
const POST = { method: 'POST' };

function connect(changes) {
  return new RPCClient({
    endpoint: env.ecd, apiVersion: '2020-09-30',
    accessKeyId: env.accessKeyId, accessKeySecret: env.accessKeySecret, securityToken: env.securityToken, ...changes,
  });
}

async function desktop(id) {
  const answer = await client.request('DescribeDesktops', { RegionId, DesktopId: [id] });
  return answer.Desktops[0];
}

async function records(DesktopId) {
  const answer = await client.request('DescribeImageModifiedRecords', { RegionId, DesktopId });
  return answer.ImageModifiedRecords;
}

test('DescribeDesktops comes in pages of ten, and every page once', async () => {
  const seen = new Set();
  let NextToken;
  let pages = 0;
  do {
    const params = { RegionId, OfficeSiteId: 'cn-hangzhou+dir-many', ...(NextToken && { NextToken }) };
    const answer = await client.request('DescribeDesktops', params);
    assert.ok(answer.Desktops.length <= 10, `a page of ${answer.Desktops.length}`);
    answer.Desktops.forEach((d) => seen.add(d.DesktopId));
    NextToken = answer.NextToken;
    pages += 1;
  } while (NextToken);
  assert.equal(seen.size, 130);
  assert.equal(pages, 13);
});

test('DescribeDesktops takes 100 ids, and ids nobody has are absent', async () => {
  const DesktopId = Array.from({ length: 99 }, (_, i) => `ecd-many${String(i + 1).padStart(4, '0')}`).concat('ecd-nobody001');
  const answer = await client.request('DescribeDesktops', { RegionId, DesktopId, MaxResults: 100 }, POST);
  assert.equal(answer.Desktops.length, 99);
  assert.match(answer.RequestId, /^[0-9A-F-]{36}$/);
});

test('a desktop of a group is hidden unless it is asked for', async () => {
  const ask = { RegionId, DesktopId: ['ecd-pooled0001'] };
  assert.equal((await client.request('DescribeDesktops', ask)).Desktops.length, 0);
  const shown = await client.request('DescribeDesktops', { ...ask, FilterDesktopGroup: false });
  assert.equal(shown.Desktops[0].DesktopGroupId, 'dg-pool0001');
});

test('a GPU is a number of desktops and a boolean of images', async () => {
  const d = await desktop('ecd-still00001');
  assert.equal(d.GpuCategory, 0);
  assert.equal(d.OsType, 'Windows');
  const { Images: [image] } = await client.request('DescribeImages', { RegionId, ImageId: ['m-gpu0000000001'] });
  assert.equal(image.GpuCategory, true);
  assert.equal(image.OsType.toUpperCase(), 'WINDOWS');
  assert.equal(image.Status, 'Available');
});

test('what the signature must encode arrives as it was meant', async () => {
  const ImageName = "it's (50%) *new*! ~ü+&=";
  for (const options of [{}, POST]) {
    const { Images } = await client.request('DescribeImages', { RegionId, ImageName }, options);
    assert.deepEqual(Images.map((i) => i.ImageId), ['m-odd0000000001']);
  }
});

test('a rebuild takes its time, ends on the new image and leaves a record', async () => {
  const answer = await client.request('RebuildDesktops', { RegionId, DesktopId: ['ecd-quick00001'], ImageId: 'm-new0000000001' }, POST);
  assert.equal(answer.RebuildResults.length, 1);
  assert.equal(answer.RebuildResults[0].DesktopId, 'ecd-quick00001');
  assert.match(answer.RebuildResults[0].Code, /^success$/i);

  const done = await env.until(() => desktop('ecd-quick00001'), (d) => d.DesktopStatus !== 'Rebuilding');
  assert.equal(done.DesktopStatus, 'Running');
  assert.equal(done.ImageId, 'm-new0000000001');
  const [record] = await records('ecd-quick00001');
  assert.equal(record.ImageId, 'm-old0000000001');
  assert.equal(record.NewImageId, 'm-new0000000001');
  assert.equal(record.Status, 1);
});

test('a rebuild that fails leaves the old image and the reason', async () => {
  await client.request('RebuildDesktops', { RegionId, DesktopId: ['ecd-fails00001'], ImageId: 'm-new0000000001' });
  const [record] = await env.until(() => records('ecd-fails00001'), ([r]) => r && r.Status !== 0);
  assert.equal(record.Status, 2);
  assert.equal(record.Reason, 'out of stock');
  assert.equal((await desktop('ecd-fails00001')).ImageId, 'm-old0000000001');
});

test('a second rebuild meanwhile is refused for that desktop alone, inside a 200', async () => {
  const ask = { RegionId, DesktopId: ['ecd-stuck00001'], ImageId: 'm-new0000000001' };
  const first = await client.request('RebuildDesktops', ask);
  assert.match(first.RebuildResults[0].Code, /^success$/i);
  const second = await client.request('RebuildDesktops', ask);
  assert.equal(second.RebuildResults[0].Code, 'IncorrectDesktopStatus');
  assert.equal((await desktop('ecd-stuck00001')).DesktopStatus, 'Rebuilding');
});

test('a call with one wrong parameter starts nothing at all', async () => {
  const many = Array.from({ length: 21 }, (_, i) => `ecd-many${String(i + 1).padStart(4, '0')}`);
  const wrong = [
    { RegionId, DesktopId: many, ImageId: 'm-new0000000001' },
    { RegionId, DesktopId: ['ecd-still00001', 'ecd-nobody001'], ImageId: 'm-new0000000001' },
    { RegionId, DesktopId: ['ecd-still00001'], ImageId: 'm-nobody00001' },
    { RegionId, DesktopId: ['ecd-still00001'], ImageId: 'm-gpu0000000001' },
    { RegionId, DesktopId: ['ecd-still00001'], ImageId: 'm-new0000000001', OperateType: 'erase' },
    { RegionId, ImageId: 'm-new0000000001' },
  ];
  for (const params of wrong) {
    await assert.rejects(client.request('RebuildDesktops', params, POST), (err) => {
      assert.ok(err.entry.response.statusCode >= 400 && err.entry.response.statusCode < 500, JSON.stringify(params));
      assert.ok(err.data.RequestId && err.data.Message && err.data.HostId, 'the whole error body');
      return true;
    });
  }
  for (const id of ['ecd-still00001', 'ecd-many0001', 'ecd-many0020']) {
    const d = await desktop(id);
    assert.equal(d.DesktopStatus, 'Running');
    assert.deepEqual(await records(id), []);
  }
});

test('tags are read with ListTagResources and not with DescribeDesktops', async () => {
  assert.deepEqual((await desktop('ecd-tagged0001')).Tags ?? [], []);
  const ResourceType = 'ALIYUN::GWS::INSTANCE';
  await client.request('TagResources', {
    RegionId, ResourceType, ResourceId: ['ecd-tagged0001'], Tag: [{ Key: 'owner', Value: 'a&b' }],
  }, POST);
  const { TagResources } = await client.request('ListTagResources', { RegionId, ResourceType, ResourceId: ['ecd-tagged0001'] });
  const tags = Object.fromEntries(TagResources.map((t) => [t.TagKey, t.TagValue]));
  assert.deepEqual(tags, { ring: 'canary', owner: 'a&b' });
});

test('a desktop stops, starts and goes into maintenance', async () => {
  const DesktopId = ['ecd-power00001'];
  await client.request('StopDesktops', { RegionId, DesktopId, StoppedMode: 'KeepCharging' });
  await env.until(() => desktop('ecd-power00001'), (d) => d.DesktopStatus === 'Stopped');
  await client.request('StartDesktops', { RegionId, DesktopId });
  await env.until(() => desktop('ecd-power00001'), (d) => d.DesktopStatus === 'Running');
  for (const Mode of ['ENTER', 'EXIT']) {
    await client.request('SetDesktopMaintenance', { RegionId, DesktopIds: DesktopId, Mode });
  }
});

test('who does not prove who they are gets no answer', async () => {
  const cases = {
    'InvalidAccessKeyId.NotFound': { accessKeyId: 'STS.nobody' },
    SignatureDoesNotMatch: { accessKeySecret: 'another secret' },
    'InvalidSecurityToken.Malformed': { securityToken: 'another token' },
  };
  for (const [code, changes] of Object.entries(cases)) {
    for (const options of [{}, POST]) {
      await assert.rejects(connect(changes).request('DescribeRegions', {}, options), (err) => {
        assert.equal(err.code.split('.')[0], code.split('.')[0]);
        return true;
      });
    }
  }
  assert.ok((await client.request('DescribeRegions')).Regions.length > 0);
});
