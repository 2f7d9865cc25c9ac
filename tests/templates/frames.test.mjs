// stillframe.js: which bytes it asks for and hands to the viewer's decoder. Hosts are real, the decoder is a record.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { install, ohifExtension, planStack, planVolume } from '../../templates/stillframe.js';
import { addLoading, makeBytes, makeListener, startHost } from './frames_host.mjs';
import { makeCornerstone, makeOhif } from './viewers.mjs';

const HTJ2K = '1.2.840.10008.1.2.4.202';
const RECORD = 'format=3;reduced=2;lossy=any;part10=auto';
const LEVELS = [3, 2, 1, 0].map((level) => ({ decodeLevel: level, width: 512 >> level, height: 512 >> level }));
const ROW = [6000, 14_000, 50_000, 200_000];
const cutsOf = (row, levels = LEVELS) => row.map((end, index) => ({ ...levels[index], end }));
const SLOW = 3750; // bytes a millisecond: 30 Mbit/s
const FAST = 1e6;

// Waits of the module by their lengths: for the frame index, and before a viewer is told of pictures of a volume.
const [PATIENCE_MS, TELLING_MS] = [1000, 200];

const stops = [];
let endless; // of these waits: a busy machine may take longer than the module's patience
beforeEach(() => {
  globalThis.document = { addEventListener() {}, removeEventListener() {} };
  endless = [PATIENCE_MS];
  const { setTimeout } = globalThis;
  const isEndless = (ms) => endless.includes(ms) && new Error().stack.includes('stillframe.js');
  globalThis.setTimeout = (run, ms, ...given) => setTimeout(isEndless(ms) ? () => {} : run, ms, ...given);
  stops.push(() => (globalThis.setTimeout = setTimeout));
});
afterEach(() => stops.splice(0).forEach((stop) => stop()));

describe('the plan of a stack', () => {
  const large = [48, 95, 190, 380, 759, 1518, 3036].map((width, index) => ({ decodeLevel: 6 - index, width, height: width, end: 4 ** index * 1000 }));
  const first = (cuts, size, line = SLOW) => planStack(cuts, { width: size, height: size }, line).end;
  test('begins with a quarter of the columns that are seen', () => {
    assert.equal(first(large, 760), large[2].end); // 190 x 4
    assert.equal(first(large, 761), large[3].end);
    assert.equal(first(large, 100), large[0].end);
    assert.equal(first(large, 10_000), large[4].end); // a quarter of its own
    assert.equal(planStack(large, { width: 4000, height: 380 }, SLOW).end, large[1].end); // 380 rows of it fit
    assert.equal(first(cutsOf(ROW), 2000), ROW[1]); // 128 of 512, however large it is shown
  });
  test('goes on with every resolution after that, and not with the whole, which is no plan', () => {
    assert.deepEqual(planStack(large, { width: 760, height: 760 }, SLOW).cuts.map(({ decodeLevel }) => decodeLevel), [4, 3, 2, 1]);
  });
  test('is one request where the rest takes no more than 30 ms', () => {
    assert.equal(first(cutsOf(ROW), 700, (ROW[3] - ROW[1]) / 30), ROW[3]);
    assert.equal(first(cutsOf(ROW), 700, (ROW[3] - ROW[1]) / 30 - 1), ROW[1]);
    assert.equal(planStack(cutsOf(ROW), { width: 700, height: 700 }, FAST).cuts[0].end, ROW[1]); // still seen early
  });
});

describe('the plan of a volume', () => {
  test('is the finest level that costs a tenth of the bytes', () => {
    assert.equal(planVolume([cutsOf([10, 100, 300, 1000])]), 2);
    assert.equal(planVolume([cutsOf([10, 101, 300, 1000])]), 3);
    assert.equal(planVolume([cutsOf([10, 101, 300, 1000]), cutsOf([10, 60, 99, 1000])]), 2); // 161 of 2000
    assert.equal(planVolume([cutsOf([200, 300, 400, 1000])]), undefined);
    assert.equal(planVolume([]), undefined);
  });
  test('is a level that all frames have', () => {
    const coarse = cutsOf([50, 100, 1000], LEVELS.slice(1));
    assert.equal(planVolume([cutsOf([10, 20, 60, 1000]), coarse]), 1); // 160 of 2000, and not 3, which coarse lacks
    assert.equal(planVolume([cutsOf([10, 500, 600, 1000]), coarse]), undefined);
  });
});

const instances = (count) => [...Array(count).keys()].map((index) => `1.2.3.${index + 1}`);
const group = (rows) => [{ levels: LEVELS, instances: rows, crc32: {} }];

/** A host of frames of the row, each with its reduced variant; a Cornerstone that asks for them. */
async function open({ count = 1, row = ROW, index, record = RECORD, images, more = {}, theirs, syntax = HTJ2K } = {}) {
  const uids = instances(count);
  const objects = {};
  uids.forEach((uid, number) => {
    objects[`instances/${uid}/frames/1`] = makeBytes(row.at(-1), number + 1);
    objects[`instances/${uid}/reduced/2/frames/1`] = makeBytes(row[1] + 50, number + 1001);
  });
  const rows = group(Object.fromEntries(uids.map((uid) => [uid, [row]])));
  const host = await startHost({ objects, index: index === undefined ? rows : index, ...more });
  stops.push(() => host.close());
  const imageIds = uids.map((uid) => host.imageId(uid));
  const instance = { AvailableTransferSyntaxUID: syntax, '00991002': record };
  const cornerstone = makeCornerstone({ instance, imageRetrieveConfiguration: theirs });
  const failing = images ? Object.fromEntries(imageIds.map((imageId) => [imageId, images])) : {};
  addLoading(cornerstone, { images: failing, volumes: { volume: { imageIds } } });
  install(cornerstone);
  const configure = (query, kind) => cornerstone.metaData.get('imageRetrieveConfiguration', query, kind);
  const load = async (kind, listener) => {
    const query = kind === 'stack' ? imageIds[0] : 'volume';
    const configuration = configure(query, kind);
    await configuration.create(configuration).loadImages(imageIds, listener);
    return { shown: listener.shown, asked: host.asked, given: cornerstone.given, left: cornerstone.left };
  };
  return { objects, imageIds, cornerstone, configure, load, host };
}

const nextTurn = () => new Promise(setImmediate);

/** Writes down what is fetched until the test ends: addresses, or what `describe` makes of the arguments. */
function watchFetch(read, describe = String) {
  const { fetch } = globalThis;
  stops.push(() => (globalThis.fetch = fetch));
  globalThis.fetch = (...given) => (read.push(describe(...given)), fetch(...given));
  return read;
}

const canvas = { width: 700, height: 700 };
const FRAME = 'instances/1.2.3.1/frames/1';
const REDUCED = 'instances/1.2.3.1/reduced/2/frames/1';
const quiet = (context) => context.mock.method(console, 'warn', () => {});
/** What was handed over ends where a resolution ends, and is the beginning of the frame. */
const assertExact = (given, bytes, row = ROW) => {
  for (const one of given) {
    const index = row.indexOf(one.bytes.length);
    assert.notEqual(index, -1, `${one.bytes.length} bytes`);
    assert.deepEqual(one.bytes, bytes.slice(0, one.bytes.length));
    assert.equal(one.level, one.isWhole ? 0 : LEVELS[index].decodeLevel);
    assert.equal(one.isWhole, one.bytes.length === row.at(-1));
  }
};

describe('a stack', () => {
  test('is asked for up to a resolution, then for the rest, no byte twice', async () => {
    const { load, objects, imageIds } = await open();
    const { shown, asked, given } = await load('stack', makeListener({ canvas }));
    assert.deepEqual(asked, [`${FRAME} 0-13999`, `${FRAME} 14000-199999`]);
    assertExact(given, objects[FRAME]);
    assert.deepEqual([given[0].bytes.length, given[0].level, given[0].url], [14_000, 2, imageIds[0].slice(7)]);
    assert.ok(given.every(({ ignoreCache, kind }) => ignoreCache && kind === 'of the listener'));
    assert.deepEqual([shown[0].quality, shown.at(-1).quality], [6, 8]);
    assert.deepEqual(shown.at(-1).bytes, objects[FRAME]);
  });
  test('of a small frame is asked for at once', async () => {
    const { load, objects } = await open({ row: [2000, 5000, 9000, 20_000] });
    const { asked, shown } = await load('stack', makeListener({ canvas }));
    assert.deepEqual(asked, [FRAME]);
    assert.deepEqual(shown.map(({ quality }) => quality), [8]);
    assert.deepEqual(shown[0].bytes, objects[FRAME]);
  });
  test('shows each image by its own row', async () => {
    const rows = group({ '1.2.3.1': [ROW], '1.2.3.2': [[6000, 12_000, 50_000, 200_000]] });
    const { load, objects } = await open({ count: 2, index: rows });
    const { asked } = await load('stack', makeListener({ canvas }));
    assert.deepEqual(asked.filter((one) => one.includes(' 0-')).sort(), [`${FRAME} 0-13999`, 'instances/1.2.3.2/frames/1 0-11999']);
    assert.equal(Object.keys(objects).length, 4);
  });
  test('that is loaded already, or on its way, is not asked for', async () => {
    const { load, imageIds, cornerstone } = await open();
    const promise = Promise.resolve({ imageQualityStatus: 8 });
    await cornerstone.cache.putImageLoadObject(imageIds[0], { promise });
    const { asked, shown } = await load('stack', makeListener({ canvas }));
    assert.deepEqual([asked, shown.map(({ quality }) => quality)], [[], [8]]);
  });
  test('without a frame index comes reduced, then whole', async (context) => {
    quiet(context);
    const { load, objects } = await open({ index: null });
    const { asked, given, shown } = await load('stack', makeListener({ canvas }));
    assert.deepEqual(asked, [REDUCED, FRAME]);
    assert.deepEqual(given.map(({ bytes, isWhole, level }) => [bytes.length, isWhole, level]), [[14_050, false, 0], [200_000, true, 0]]);
    assert.deepEqual(given.map(({ bytes }) => bytes), [objects[REDUCED], objects[FRAME]]);
    assert.deepEqual(shown.map(({ quality }) => quality), [6, 8]);
  });
  test('with a frame index that is late, or has no such frame, likewise', async () => {
    endless = [];
    const late = await open({ more: { neverAnswersIndex: true } });
    assert.deepEqual((await late.load('stack', makeListener({ canvas }))).asked, [REDUCED, FRAME]);
    const other = await open({ index: group({ '1.2.3.9': [ROW] }) });
    assert.deepEqual((await other.load('stack', makeListener({ canvas }))).asked, [REDUCED, FRAME]);
  });
  test('without either comes whole', async (context) => {
    quiet(context);
    const { load } = await open({ index: null, record: 'format=3;reduced=1;lossy=any' });
    assert.deepEqual((await load('stack', makeListener({ canvas }))).asked, [FRAME]);
  });
  test('of a host that ignores ranges comes in one answer, seen early all the same', async () => {
    const { load, objects } = await open({ more: { ignoresRanges: true } });
    const { asked, given } = await load('stack', makeListener({ canvas }));
    assert.deepEqual(asked, [`${FRAME} 0-13999`]);
    assertExact(given, objects[FRAME]);
    assert.equal(given.at(-1).isWhole, true);
  });
  test('goes on where a connection was lost', async () => {
    const loses = (count) => [1000, undefined, 30_000, 0][count - 1];
    const { load, objects } = await open({ more: { loses } });
    const { asked, given, left } = await load('stack', makeListener({ canvas }));
    assertExact(given, objects[FRAME]);
    assert.deepEqual(asked[0], `${FRAME} 0-13999`);
    assert.deepEqual(asked.map((one) => one.split('-').at(-1)), ['13999', '13999', '199999', '199999', '199999']);
    const starts = asked.map((one) => Number(/(\d+)-/.exec(one)[1]));
    assert.deepEqual(starts, [...starts].sort((one, other) => one - other));
    assert.deepEqual([given.at(-1).isWhole, left], [true, []]);
  });
  test('without a frame index goes on as well', async (context) => {
    quiet(context);
    const { load, objects } = await open({ index: null, more: { loses: (count) => [0, undefined, 30_000][count - 1] } });
    const { given } = await load('stack', makeListener({ canvas }));
    assert.deepEqual(given.map(({ bytes }) => bytes), [objects[REDUCED], objects[FRAME]]);
  });
  test('waits out a host that is overloaded', async () => {
    const { load, objects } = await open({ more: { answers: [503, 429] } });
    const { given, asked } = await load('stack', makeListener({ canvas }));
    assert.equal(asked.length, 4);
    assertExact(given, objects[FRAME]);
  });
  test('is left to the viewer where the host has no such frame, or another one', async (context) => {
    quiet(context);
    const theirs = { stages: 'of the viewer' };
    for (const more of [{ answers: [404] }, { answers: [403] }]) {
      const { load } = await open({ more, theirs });
      const { left, shown } = await load('stack', makeListener({ canvas }));
      assert.deepEqual([left[0].configuration, shown.at(-1).quality], [theirs, 8]);
    }
    for (const size of [200_001, 199_999]) {
      const { load } = await open({ index: group({ '1.2.3.1': [[6000, 14_000, 50_000, size]] }), theirs });
      const { left, given } = await load('stack', makeListener({ canvas }));
      assert.deepEqual([left.length, given], [1, []]);
    }
  });
  test('is left to the viewer where it does not decode, and a picture that does not is left out', async (context) => {
    quiet(context);
    const partial = await open({ images: (bytes) => bytes.length < ROW[3] });
    const { shown, left } = await partial.load('stack', makeListener({ canvas }));
    assert.deepEqual([shown.map(({ quality }) => quality), left], [[8], []]);
    const never = await open({ images: () => true });
    assert.equal((await never.load('stack', makeListener({ canvas }))).left.length, 1);
  });
});

describe('a volume', () => {
  const row = [3000, 8000, 30_000, 100_000];
  const volume = (more = {}) => open({ count: 9, row, ...more });
  const halves = (asked, end) => asked.filter((one) => one.endsWith(` 0-${end}`));

  test('comes as every other frame first, at a tenth of the bytes, then what is missing', async () => {
    const { load, objects, imageIds } = await volume();
    const sent = watchFetch([], (url, { headers }) => headers.Range ?? 'whole');
    const { asked, given, shown } = await load('volume', makeListener());
    assert.deepEqual(sent.slice(1, 6), Array(5).fill('bytes=0-7999')); // after the frame index, frames 1, 3, 5, 7, 9
    assert.equal(halves(asked, 7999).length, 5);
    assert.equal(asked.length, 14);
    assert.equal(asked.filter((one) => one.endsWith(' 8000-99999')).length, 5);
    assert.equal(asked.filter((one) => !one.includes(' ')).length, 4);
    for (const one of given) assertExact([one], objects[one.imageId.slice(one.imageId.indexOf('instances'))], row);
    const wholes = shown.filter(({ quality }) => quality === 8);
    assert.deepEqual(wholes.map(({ imageId }) => imageId).sort(), [...imageIds].sort());
    const own = shown.filter(({ quality }) => quality === 6).map(({ imageId }) => imageId);
    assert.deepEqual(own.sort(), imageIds.filter((_, index) => index % 2 === 0));
    const borrowed = shown.filter(({ quality }) => quality === 3).map(({ imageId }) => imageIds.indexOf(imageId));
    assert.ok(borrowed.length > 0 && borrowed.every((index) => index % 2 === 1), `${borrowed}`);
    for (const imageId of imageIds) {
      const qualities = shown.filter((one) => one.imageId === imageId).map(({ quality }) => quality);
      assert.deepEqual(qualities, [...qualities].sort());
    }
  });
  test('is spread over all of it from the beginning', async () => {
    const { load } = await volume();
    const sent = watchFetch([]);
    await load('volume', makeListener());
    assert.deepEqual(sent.slice(1, 3).map((url) => /instances\/1\.2\.3\.(\d)/.exec(url)[1]), ['1', '9']);
  });
  test('tells of its pictures together, since a viewer draws its planes whenever it is told', async () => {
    const { load } = await volume();
    const listener = makeListener();
    const { successCallback } = listener;
    let turns = 0;
    let isTurn = false;
    listener.successCallback = (...given) => {
      if (!isTurn) turns += 1;
      isTurn = true;
      setImmediate(() => (isTurn = false));
      successCallback(...given);
    };
    endless.push(TELLING_MS);
    const { shown } = await load('volume', listener);
    assert.equal(turns, 1);
    assert.equal(shown.filter(({ quality }) => quality === 8).length, 9);
  });
  test('tells of what is there while more is on its way', async (context) => {
    const { load, host } = await volume({ more: { loses: (count) => (count > 10 && count < 60 ? 1000 : undefined) } });
    quiet(context);
    const listener = makeListener();
    const { successCallback } = listener;
    let askedThen;
    listener.successCallback = (...given) => {
      askedThen ??= host.asked.length;
      successCallback(...given);
    };
    const { asked } = await load('volume', listener);
    assert.ok(askedThen < asked.length);
  });
  test('of frames that are there already asks for the others', async () => {
    const { load, imageIds, cornerstone } = await volume();
    await cornerstone.cache.putImageLoadObject(imageIds[2], { promise: Promise.resolve({ imageId: imageIds[2], imageQualityStatus: 8 }) });
    const { asked, shown } = await load('volume', makeListener());
    assert.equal(asked.some((one) => one.includes('1.2.3.3/')), false);
    assert.equal(shown.filter(({ quality }) => quality === 8).length, 9);
  });
  test('that is given up asks for no more', async () => {
    const loadStatus = { cancelled: false };
    const { load } = await volume({ more: { loses: () => void (loadStatus.cancelled = true) } }); // with its first request
    const { asked, shown } = await load('volume', makeListener({ loadStatus }));
    assert.ok(asked.length <= 5);
    assert.deepEqual(shown, []);
  });
  test('without ranges, or a frame index, comes reduced first', async (context) => {
    quiet(context);
    for (const more of [{ more: { ignoresRanges: true } }, { index: null }]) {
      const { load, objects } = await volume(more);
      const { asked, given, shown } = await load('volume', makeListener());
      assert.equal(asked.filter((one) => one.includes('reduced')).length, 5);
      assert.equal(asked.filter((one) => !one.includes('reduced') && !one.includes(' ')).length, 9);
      assert.equal(shown.filter(({ quality }) => quality === 8).length, 9);
      for (const { imageId, isWhole, bytes } of given) {
        const path = imageId.slice(imageId.indexOf('instances'));
        assert.deepEqual(bytes, objects[isWhole ? path : path.replace('/frames/', '/reduced/2/frames/')]);
      }
    }
  });
  test('of small frames comes whole', async () => {
    const { load } = await volume({ row: [300, 500, 700, 1000] });
    assert.equal((await load('volume', makeListener())).asked.every((one) => !one.includes(' ')), true);
  });
  test('comes in spite of every tenth connection lost', async (context) => {
    quiet(context);
    const { load } = await volume({ more: { loses: (count) => (count % 10 ? undefined : 2000) } });
    const { shown, left } = await load('volume', makeListener());
    assert.deepEqual([shown.filter(({ quality }) => quality === 8).length, left], [9, []]);
  });
  test('with frames that the host lost leaves these to the viewer', async (context) => {
    quiet(context);
    const { load, objects, imageIds } = await volume();
    delete objects[imageIds[3].slice(imageIds[3].indexOf('instances'))];
    const { left, shown } = await load('volume', makeListener());
    assert.deepEqual(left.map((one) => one.imageIds), [[imageIds[3]]]);
    assert.equal(shown.filter(({ quality }) => quality === 8).length, 9);
  });
});

describe('what is not ours', () => {
  const theirs = { stages: 'of the viewer' };
  test('is the viewer\'s: other transfer syntaxes, other archives, other volumes', async () => {
    for (const more of [{ syntax: '1.2.840.10008.1.2.4.50' }, { syntax: null }, { record: null }, { record: 'of someone else' }]) {
      const { configure, imageIds } = await open({ theirs, ...more });
      assert.equal(configure(imageIds[0], 'stack'), theirs);
      assert.equal(configure('volume', 'volume'), theirs);
    }
    const { configure } = await open({ theirs });
    for (const query of ['another volume', '1.2.840.10008.1.2.4.202', 'stack', 'wadors:http://x/studies/1']) {
      assert.equal(configure(query, 'volume'), theirs);
    }
  });
  test('the record may lie in any private block', async () => {
    const cornerstone = addLoading(makeCornerstone({ instance: { AvailableTransferSyntaxUID: HTJ2K, '00991102': RECORD } }));
    install(cornerstone);
    const { host } = await open();
    const configuration = cornerstone.metaData.get('imageRetrieveConfiguration', host.imageId('1.2.3.1'), 'stack');
    assert.deepEqual(configuration.retrieveOptions.default, {}); // what prefetching takes: whole, in one request
    assert.equal(typeof configuration.create, 'function');
  });
});

describe('the frame index', () => {
  test('is read when a viewer first asks where an image lies, once', async () => {
    const { cornerstone, imageIds, load } = await open({ count: 2 });
    const read = [];
    watchFetch(read);
    imageIds.forEach((imageId) => cornerstone.metaData.get('imagePlaneModule', imageId));
    const index = `${imageIds[0].slice('wadors:'.length).replace(/\/instances.*/, '')}/frame-index`;
    await nextTurn();
    assert.deepEqual(read, [index]);
    await load('stack', makeListener({ canvas }));
    assert.equal(read.filter((url) => url === index).length, 1);
  });
  test('is not read for frames that are not ours', async () => {
    const { cornerstone, imageIds } = await open({ syntax: '1.2.840.10008.1.2.4.50' });
    const read = watchFetch([]);
    assert.equal(cornerstone.metaData.get('imagePlaneModule', imageIds[0]), undefined);
    await nextTurn();
    assert.deepEqual(read, []);
  });
});

describe('a hanging protocol of OHIF that loads volumes by itself', () => {
  const input = (volumeId) => ({ volumeId });
  const start = async (options) => {
    const { cornerstone } = await open(options);
    const loaded = [];
    const { getVolume } = cornerstone.cache;
    cornerstone.cache.getVolume = (id) => ({ ...getVolume(id), load: () => loaded.push(id) });
    const ohif = makeOhif(cornerstone);
    ohifExtension.preRegistration(ohif.context);
    return { loaded, run: (...ids) => ohif.strategies.nth({ data: { viewportId: 'v', volumeInputArray: ids.map(input) } }) };
  };
  test('leaves volumes of ours to their loader', async () => {
    const { loaded, run } = await start();
    assert.deepEqual(run('volume'), new Map([['v', [input('volume')]]]));
    assert.deepEqual(loaded, ['volume']);
  });
  test('loads others', async () => {
    const { loaded, run } = await start();
    assert.equal(run('volume', 'another volume'), 'OHIF loads v');
    assert.deepEqual(loaded, []);
  });
});
