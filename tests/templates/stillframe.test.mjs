// stillframe.js against a fake registry. Expected values are the standard's, or counted by hand.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { install, ohifExtension } from '../../templates/stillframe.js';
import { imageId, makeCornerstone, makeOhif, makeWeb, makeWorkerManager, seriesURL } from './viewers.mjs';

const HTJ2K = '1.2.840.10008.1.2.4.202';
const listeners = new Map();
const realFetch = globalThis.fetch;

beforeEach(() => {
  globalThis.document = {
    addEventListener: (type, listener) => listeners.set(type, listener),
    removeEventListener: (type) => listeners.delete(type),
  };
});
afterEach(() => {
  globalThis.fetch = realFetch;
  listeners.clear();
});

/** Timers that run when the test says so. */
function stopClock(context) {
  const timers = new Map();
  let now = 0;
  context.mock.method(globalThis, 'setTimeout', (run, ms) => {
    timers.set(timers.size, { run, at: now + ms });
    return timers.size - 1;
  });
  context.mock.method(globalThis, 'clearTimeout', (id) => timers.delete(id));
  return {
    advance(ms) {
      now += ms;
      for (const [id, { run, at }] of timers) {
        if (at <= now && timers.delete(id)) run();
      }
    },
  };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

describe('windows', () => {
  const ask = (module) => {
    const cornerstone = makeCornerstone({ voiLutModule: module });
    install(cornerstone);
    return cornerstone.metaData.get('voiLutModule', imageId());
  };
  const window = { windowCenter: [40], windowWidth: [400] };

  for (const word of ['SIGMOID', 'LINEAR_EXACT', 'LINEAR', ' sigmoid ', ['SIGMOID']]) {
    test(`the function ${JSON.stringify(word)} is a list of the word`, () => {
      const expected = String(word).trim().toUpperCase();
      assert.deepEqual(ask({ ...window, voiLUTFunction: word }), { ...window, voiLUTFunction: [expected] });
    });
  }
  for (const word of [undefined, null, '', 'GAMMA', [], 7]) {
    test(`${JSON.stringify(word)} is no function, so the default counts`, () => {
      assert.equal(ask({ ...window, voiLUTFunction: word }).voiLUTFunction, undefined);
    });
  }
  test('what else the module says stays', () => {
    assert.equal(ask({ ...window, voiLUTSequence: 'kept' }).voiLUTSequence, 'kept');
  });
  test('numbers are lists, in texts too', () => {
    assert.deepEqual(ask({ windowCenter: 40, windowWidth: '400\\80' }).windowWidth, [400]);
    assert.deepEqual(ask({ windowCenter: '40\\300', windowWidth: '400\\80' }).windowCenter, [40, 300]);
  });
  test('a window that its function does not allow is left out', () => {
    assert.equal(ask({ windowCenter: [1], windowWidth: [0] }).windowWidth, undefined);
    assert.equal(ask({ windowCenter: [1], windowWidth: [0.5] }).windowCenter, undefined);
    assert.deepEqual(ask({ windowCenter: [1], windowWidth: [0.5], voiLUTFunction: 'LINEAR_EXACT' }).windowWidth, [0.5]);
    assert.equal(ask({ windowCenter: [1], windowWidth: [0], voiLUTFunction: 'SIGMOID' }).windowWidth, undefined);
    assert.deepEqual(ask({ windowCenter: [1, 2], windowWidth: [-1, 9] }).windowCenter, [2]);
  });
  test('width 1 is a step above C - 0.5', () => {
    const { windowCenter, windowWidth } = ask({ windowCenter: [100], windowWidth: [1] });
    const lower = windowCenter[0] - 0.5 - (windowWidth[0] - 1) / 2; // PS3.3 C.11.2.1.2.1
    const upper = windowCenter[0] - 0.5 + (windowWidth[0] - 1) / 2;
    assert.equal(lower, 99.5);
    assert.ok(upper > 99.5 && upper < 100);
  });
  test('an image without the module has none', () => assert.equal(ask(undefined), undefined));
});

describe('decoders', () => {
  const DECODERS = 'dicomImageLoader';
  // 4000 x 3000 of three bytes, and the 18 MB that they come in: ten of these are more than 2^29 bytes, nine are not.
  const large = { pixelData: { length: 18_000_000 } };
  const decoded = { pixelData: { byteLength: 36_000_000 } };
  const open = (count) => {
    const { manager, tasks, ended } = makeWorkerManager(DECODERS, count);
    const uninstall = install({ ...makeCornerstone(), getWebWorkerManager: () => manager });
    const decode = (task = large, ...more) => manager.executeTask(DECODERS, 'decodeTask', task, ...more);
    const decodeAll = async (times, task = large, frame = decoded) => {
      for (let time = 0; time < times; time++) {
        const decoding = decode(task);
        tasks.at(-1).end(frame);
        assert.equal(await decoding, frame);
      }
      return tasks.map(({ number }) => number);
    };
    return { manager, tasks, ended, uninstall, decode, decodeAll };
  };

  test('that have had half a gigabyte are replaced, again and again', async () => {
    const { decodeAll, ended } = open();
    assert.deepEqual(await decodeAll(25), [...Array(10).fill(0), ...Array(10).fill(1), ...Array(5).fill(2)]);
    assert.deepEqual(ended, [0, 1]);
  });
  test('keep less of a lower resolution', async () => {
    const { decodeAll, ended } = open();
    const quarter = [{ pixelData: { length: 750_000 } }, { pixelData: { byteLength: 2_250_000 } }]; // 3 MB
    assert.equal((await decodeAll(179, ...quarter)).at(-1), 0); // 537 MB after that
    assert.equal((await decodeAll(1, ...quarter)).at(-1), 1);
    assert.deepEqual(ended, [0]);
  });
  test('end what they have begun before they end', async () => {
    const { decode, tasks, ended } = open();
    const all = [...Array(12)].map(() => decode());
    const failing = assert.rejects(all[1], /broken/);
    tasks.slice(2).forEach(({ end }) => end(decoded));
    await Promise.all(all.slice(2));
    decode();
    assert.deepEqual(tasks.map(({ number }) => number), [...Array(12).fill(0), 1]);
    tasks[1].fail(new Error('broken'));
    await failing;
    assert.deepEqual(ended, []);
    tasks[0].end(decoded);
    await all[0];
    assert.deepEqual(ended, [0]);
  });
  test('are replaced one by one', async () => {
    const { decode, tasks, ended } = open(2);
    const all = [...Array(20)].map(() => decode());
    tasks.forEach(({ end }) => end(decoded));
    await Promise.all(all);
    [decode(), decode()];
    assert.deepEqual(tasks.slice(20).map(({ number }) => number), [2, 3]);
    assert.deepEqual(ended, [0, 1]);
  });
  test('are handed whatever a task comes with, and do what else they can', async () => {
    const { decode, tasks, manager } = open();
    decode(large, 'a callback');
    assert.deepEqual([tasks[0].task, tasks[0].more], [large, ['a callback']]);
    assert.equal(await manager.executeTask(DECODERS, 'otherTask'), 0);
  });
  test('are the only workers that are touched', () => {
    const { manager, uninstall } = open();
    const chosen = { api: {}, index: 0 };
    assert.equal(manager.getNextWorkerAPI('tools'), null);
    manager.workerRegistry.tools = { instances: [chosen.api], loadCounters: [0] };
    assert.equal(manager.getNextWorkerAPI('tools').api, chosen.api);
    assert.deepEqual(Object.keys(manager.workerRegistry), [DECODERS, 'tools']);
    uninstall();
    assert.equal(manager.getNextWorkerAPI(DECODERS).api, manager.workerRegistry[DECODERS].instances[0]);
  });
});

describe('what is asked', () => {
  test('other types, other ids and lists of ids go to the viewer', () => {
    const cornerstone = makeCornerstone({ voiLutModule: { voiLUTFunction: 'SIGMOID' }, other: 1 });
    install(cornerstone);
    const { metaData } = cornerstone;
    assert.equal(metaData.get('other', imageId()), 1);
    for (const id of ['cornerstoneStreamingImageVolume:1', 'wadors:http://x/studies/1', [imageId()], 7]) {
      assert.equal(metaData.get('voiLutModule', id).voiLUTFunction, 'SIGMOID');
    }
    assert.equal(metaData.get('toString', imageId()), undefined);
  });
  test('an error of another provider is not swallowed, and the next question is answered', () => {
    let broken = true;
    const voiLutModule = () => {
      if (broken) throw new Error('broken');
      return { voiLUTFunction: 'SIGMOID' };
    };
    const { metaData, ...cornerstone } = makeCornerstone({ voiLutModule });
    install({ metaData, ...cornerstone });
    assert.throws(() => metaData.get('voiLutModule', imageId()), /broken/);
    broken = false;
    assert.deepEqual(metaData.get('voiLutModule', imageId()).voiLUTFunction, ['SIGMOID']);
  });
  test('uninstalling takes everything away', () => {
    const cornerstone = makeCornerstone();
    const uninstall = install(cornerstone);
    assert.deepEqual([cornerstone.providers.length, listeners.size], [2, 1]);
    uninstall();
    assert.deepEqual([cornerstone.providers.length, listeners.size], [1, 0]);
  });
});

describe('pixel aspect ratio', () => {
  const none = { usingDefaultValues: true, rowPixelSpacing: 1, columnPixelSpacing: 1, pixelSpacing: 1, rows: 9 };
  const ask = (plane, metadata) => {
    const cornerstone = makeCornerstone({ imagePlaneModule: plane, instance: metadata });
    install(cornerstone);
    return cornerstone.metaData.get('imagePlaneModule', imageId());
  };
  test('rows are further apart by vertical over horizontal', () => {
    for (const ratio of [[2, 1], ['2', '1'], '2\\1']) {
      const { rowPixelSpacing, columnPixelSpacing, pixelSpacing, rows, usingDefaultValues } = ask(none, { PixelAspectRatio: ratio });
      assert.deepEqual([rowPixelSpacing, columnPixelSpacing, pixelSpacing, rows], [2, 1, [2, 1], 9]);
      assert.equal(usingDefaultValues, true); // so that lengths are not taken for millimetres
    }
    assert.equal(ask(none, { PixelAspectRatio: [3, 4] }).rowPixelSpacing, 0.75);
  });
  test('a spacing that is known stays, and so does what is no ratio', () => {
    const known = { ...none, usingDefaultValues: false };
    assert.deepEqual(ask(known, { PixelAspectRatio: [2, 1] }), known);
    const oriented = { ...none, rowPixelSpacing: 0.5 };
    assert.deepEqual(ask(oriented, { PixelAspectRatio: [2, 1] }), oriented);
    for (const ratio of [undefined, null, [], [0, 1], [2, 0], [2], [1, 1], ['a', 'b'], [-2, 1]]) {
      assert.deepEqual(ask(none, { PixelAspectRatio: ratio }), none);
    }
  });
  test('a page that has DICOM JSON hands it over', () => {
    const cornerstone = makeCornerstone({ imagePlaneModule: none });
    install(cornerstone, { metadata: () => ({ '00280034': { vr: 'IS', Value: [5, 1] } }) });
    assert.equal(cornerstone.metaData.get('imagePlaneModule', imageId()).rowPixelSpacing, 5);
  });
});

describe('colour of more than 8 bits', () => {
  const pixel = { samplesPerPixel: 3, bitsStored: 16, photometricInterpretation: 'YBR_RCT' };
  const ask = (module) => {
    const cornerstone = makeCornerstone({ imagePixelModule: module });
    install(cornerstone);
    return cornerstone.metaData.get('imagePixelModule', imageId()).photometricInterpretation;
  };
  test('is called RGB, which it is once decoded', () => {
    assert.equal(ask(pixel), 'RGB');
    assert.equal(ask({ ...pixel, bitsStored: 8 }), 'YBR_RCT');
    assert.equal(ask({ ...pixel, photometricInterpretation: 'MONOCHROME2' }), 'MONOCHROME2');
    assert.equal(ask({ ...pixel, photometricInterpretation: 'YBR_FULL' }), 'YBR_FULL');
  });

  const show = (image, voiRange) => {
    const cornerstone = makeCornerstone();
    const set = [];
    cornerstone.viewports.set('v', { getProperties: () => ({ voiRange }), setProperties: (one) => set.push(one) });
    install(cornerstone);
    listeners.get('CORNERSTONE_STACK_NEW_IMAGE')({ detail: { image, renderingEngineId: 'e', viewportId: 'v' } });
    return set;
  };
  const deep = () => ({ color: true, imageFrame: { bitsStored: 12, photometricInterpretation: 'RGB' } });
  const fixed = { lower: 0, upper: 255 };

  test('is shown over its whole range', () => {
    const image = deep();
    assert.deepEqual(show(image, fixed), [{ voiRange: { lower: 0, upper: 4095 } }]);
    assert.deepEqual([image.windowCenter, image.windowWidth], [2048, 4096]);
  });
  test('a range that someone chose stays, and so does all else', () => {
    assert.deepEqual(show(deep(), { lower: 10, upper: 2000 }), []);
    assert.deepEqual(show({ color: true, imageFrame: { bitsStored: 8 } }, fixed), []);
    assert.deepEqual(show({ color: false, imageFrame: { bitsStored: 12 } }, fixed), []);
    assert.deepEqual(show({ color: true, imageFrame: { bitsStored: 16, photometricInterpretation: 'PALETTE COLOR' } }, fixed), []);
    assert.deepEqual(show(undefined, fixed), []);
  });
});

describe('palettes', () => {
  const descriptor = (entries, bits) => ({
    photometricInterpretation: 'PALETTE COLOR',
    redPaletteColorLookupTableDescriptor: [entries, 0, bits],
    greenPaletteColorLookupTableDescriptor: [entries, 0, bits],
    bluePaletteColorLookupTableDescriptor: [entries, 0, bits],
  });
  const inline = (...bytes) => ({ vr: 'OW', InlineBinary: Buffer.from(bytes).toString('base64') });
  const uid = { '00080018': { vr: 'UI', Value: ['1.2.3.4'] } };
  const load = async (module, dataset, bodies = {}) => {
    const web = makeWeb({ [seriesURL('metadata')]: [{ ...uid, ...dataset }], ...bodies });
    globalThis.fetch = web.fetch;
    const cornerstone = makeCornerstone({ imagePixelModule: module });
    install(cornerstone);
    const answer = cornerstone.metaData.get('imagePixelModule', imageId());
    return Promise.all(['red', 'green', 'blue'].map((colour) => answer[`${colour}PaletteColorLookupTableData`]));
  };

  test('tables are read from inline values and bulk data, in bytes or words', async () => {
    const tables = await load(
      descriptor(2, 16),
      {
        '00281201': inline(1, 2, 3, 4), // little endian: 0x0201, 0x0403
        '00281202': { vr: 'OW', BulkDataURI: 'instances/1.2.3.4/bulkdata/00281202' },
        '00281203': inline(7, 8),
      },
      { [seriesURL('instances/1.2.3.4/bulkdata/00281202')]: Uint8Array.of(0, 1, 0, 2) },
    );
    assert.deepEqual(tables, [Uint16Array.of(0x201, 0x403), Uint16Array.of(0x100, 0x200), Uint8Array.of(7, 8)]);
  });
  test('0 entries are 65536', async () => {
    const bytes = new Uint8Array(131072).fill(1);
    const name = 'instances/1.2.3.4/bulkdata/0';
    const element = { vr: 'OW', BulkDataURI: name };
    const dataset = { '00281201': element, '00281202': element, '00281203': element };
    const [red] = await load(descriptor(0, 16), dataset, { [seriesURL(name)]: bytes });
    assert.deepEqual([red.length, red[65535]], [65536, 0x101]);
  });
  test('a table that cannot be read fails the one who waits for it', async () => {
    await assert.rejects(load(descriptor(2, 16), {}), /00281201/);
  });
  test('tables that the viewer has found stay', () => {
    const module = { ...descriptor(2, 16), redPaletteColorLookupTableData: [1, 2] };
    const cornerstone = makeCornerstone({ imagePixelModule: module });
    install(cornerstone);
    assert.equal(cornerstone.metaData.get('imagePixelModule', imageId()), module);
  });
});

describe('overlays', () => {
  const value = (vr, ...Value) => ({ vr, Value });
  const image = { '00080018': value('UI', '1.2.3.4'), '00280010': value('US', 4), '00280011': value('US', 5) };
  const group = (name, rows, columns, origin, data, more = {}) => ({
    [`${name}0010`]: value('US', rows),
    [`${name}0011`]: value('US', columns),
    [`${name}0050`]: value('SS', ...origin),
    [`${name}3000`]: typeof data === 'string' ? { vr: 'OW', BulkDataURI: data } : { vr: 'OW', InlineBinary: Buffer.from(data).toString('base64') },
    ...Object.fromEntries(Object.entries(more).map(([element, one]) => [name + element, one])),
  });
  /** Rows of 0 and 1 from an overlay as OHIF reads it: the lowest bit of a byte first. */
  const drawn = ({ rows, columns, x, y, pixelData: [buffer] }) => {
    assert.deepEqual([x, y], [1, 1]);
    const bits = [...new Uint8Array(buffer)].flatMap((byte) => [...Array(8).keys()].map((bit) => (byte >> bit) & 1));
    return [...Array(rows).keys()].map((row) => bits.slice(row * columns, (row + 1) * columns).join(''));
  };
  const load = async (dataset, { frame = 1, bodies = {}, instance = { OverlayRows: 2 } } = {}) => {
    const web = makeWeb({ [seriesURL('metadata')]: [{ ...image, ...dataset }], ...bodies });
    globalThis.fetch = web.fetch;
    const cornerstone = makeCornerstone({ instance, overlayPlaneModule: { overlays: [] } });
    install(cornerstone);
    const ask = (id = imageId(frame)) => cornerstone.metaData.get('overlayPlaneModule', id);
    assert.deepEqual(ask(), { overlays: [] }); // the viewer's own answer, until they are read
    await settled();
    return { planes: ask().overlays.map(drawn), ask, web, cornerstone };
  };

  test('every group, inline and as bulk data, as large as the image', async () => {
    const bulk = 'instances/1.2.3.4/bulkdata/60023000';
    const { planes, ask, cornerstone } = await load(
      {
        ...group('6000', 2, 2, [2, 3], [0b1011, 0], { '1500': value('LO', 'cross'), '0040': value('CS', 'G') }),
        ...group('6002', 1, 5, [1, 1], bulk),
        ...group('601E', 1, 1, [4, 5], [1, 0]),
      },
      { bodies: { [seriesURL(bulk)]: Uint8Array.of(0b10101, 0) } },
    );
    assert.deepEqual(planes, [
      ['00000', '00110', '00010', '00000'], // bits 1, 1, 0, 1 in reading order, from row 2, column 3 on
      ['10101', '00000', '00000', '00000'],
      ['00000', '00000', '00000', '00001'],
    ]);
    assert.deepEqual([ask().overlays[0].label, ask().overlays[0].type], ['cross', 'G']);
    assert.deepEqual(cornerstone.rendered, ['all']);
    assert.equal(ask(), ask()); // OHIF keeps its pictures in the module
  });
  test('what lies outside of the image is cut', async () => {
    const { planes } = await load(group('6000', 3, 3, [0, 4], [0xff, 1]));
    assert.deepEqual(planes, [['00011', '00011', '00000', '00000']]);
    const left = await load(group('6000', 1, 3, [1, -1], [0b100, 0]));
    assert.deepEqual(left.planes, [['10000', '00000', '00000', '00000']]);
  });
  test('planes follow the frames from Image Frame Origin on', async () => {
    const frames = { '0015': value('IS', 2), '0051': value('US', 2) };
    const dataset = group('6000', 1, 5, [1, 1], [0b11111, 0b1], frames); // 10 bits: 11111 and 00010
    assert.deepEqual((await load(dataset, { frame: 1 })).planes, []);
    assert.deepEqual((await load(dataset, { frame: 2 })).planes[0][0], '11111');
    assert.deepEqual((await load(dataset, { frame: 3 })).planes[0][0], '00010');
    assert.deepEqual((await load(dataset, { frame: 4 })).planes, []);
  });
  test('one plane belongs to every frame, with an origin to that frame', async () => {
    assert.equal((await load(group('6000', 1, 1, [1, 1], [1, 0]), { frame: 7 })).planes.length, 1);
    const bound = group('6000', 1, 1, [1, 1], [1, 0], { '0051': value('US', 3) });
    assert.equal((await load(bound, { frame: 3 })).planes.length, 1);
    assert.equal((await load(bound, { frame: 7 })).planes.length, 0);
    const several = group('6000', 1, 1, [1, 1], [0b10, 0], { '0015': value('IS', '2') });
    assert.equal((await load(several, { frame: 2 })).planes[0][0], '10000'); // one to one, from the first frame on
  });
  test('a series is read once, and not for images without overlays', async () => {
    const { web, ask } = await load(group('6000', 1, 1, [1, 1], [1, 0]));
    ask(imageId(2));
    await settled();
    assert.deepEqual(web.asked, [seriesURL('metadata')]);
    const without = await load({}, { instance: { Rows: 4 } });
    assert.deepEqual(without.web.asked, []);
  });
  test('a page that has DICOM JSON hands it over', async () => {
    globalThis.fetch = makeWeb({ [seriesURL('metadata')]: [{ ...image, ...group('6004', 1, 1, [1, 1], [1, 0]) }] }).fetch;
    const cornerstone = makeCornerstone();
    install(cornerstone, { metadata: () => ({ '60040010': value('US', 1) }) });
    assert.equal(cornerstone.metaData.get('overlayPlaneModule', imageId()), undefined);
    await settled();
    assert.equal(cornerstone.metaData.get('overlayPlaneModule', imageId()).overlays.length, 1);
  });
  test('what cannot be read is said once, and the image stays', async (context) => {
    const warn = context.mock.method(console, 'warn', () => {});
    globalThis.fetch = makeWeb({}).fetch;
    const cornerstone = makeCornerstone({ instance: { OverlayRows: 2 } });
    install(cornerstone);
    for (let time = 0; time < 3; time++) {
      assert.equal(cornerstone.metaData.get('overlayPlaneModule', imageId()), undefined);
      await settled();
    }
    assert.equal(warn.mock.callCount(), 1);
    assert.match(String(warn.mock.calls[0].arguments[2]), /404 .*metadata/);
  });
});

describe('in OHIF', () => {
  const instance = (SOPInstanceUID, SOPClassUID, syntax, more = {}) => ({
    SOPInstanceUID, SOPClassUID, AvailableTransferSyntaxUID: syntax, Modality: 'XX', ...more,
  });
  const enter = () => {
    const ohif = makeOhif(makeCornerstone({ voiLutModule: { voiLUTFunction: 'SIGMOID' } }));
    ohifExtension.preRegistration(ohif.context);
    ohifExtension.onModeEnter.call(undefined, ohif.context); // OHIF calls hooks without their object
    return ohif;
  };
  afterEach(() => ohifExtension.onModeExit());

  test('the providers are there before any image', () => {
    const cornerstone = makeCornerstone({ voiLutModule: { voiLUTFunction: 'SIGMOID' } });
    ohifExtension.preRegistration(makeOhif(cornerstone).context);
    assert.deepEqual(cornerstone.metaData.get('voiLutModule', imageId()).voiLUTFunction, ['SIGMOID']);
    assert.equal(ohifExtension.id, 'stillframe');
  });
  test('the video handler takes videos of any class, and nothing else', () => {
    const ohif = enter();
    const videos = ohif.entry('dicom-video');
    assert.ok(videos.sopClassUids.includes('1.2')); // a class of the handler of frames
    const sets = videos.getDisplaySetsFromSeries([
      instance('avc', '1.2', '1.2.840.10008.1.2.4.102'),
      instance('fragments', '1.2', '1.2.840.10008.1.2.4.104.1'),
      instance('mpeg2', '1.2', '1.2.840.10008.1.2.4.100'),
      instance('mpeg2-fragments', '1.2', '1.2.840.10008.1.2.4.101.1'),
      instance('cine', '1.7', HTJ2K, { NumberOfFrames: 95 }),
      instance('unknown', '1.77', undefined),
    ]);
    assert.deepEqual(ohif.made, [['video', 'avc', 'fragments', 'unknown'], ['unsupported', 'mpeg2', 'mpeg2-fragments']]);
    assert.equal(sets.length, 2);
    assert.deepEqual(videos.getDisplaySetsFromSeries([instance('cine', '1.7', HTJ2K)]), []);
  });
  test('a fragmentable stream has the syntax that OHIF knows, and the rest of its instance', () => {
    const ohif = makeOhif(makeCornerstone());
    const given = [];
    ohif.entry('dicom-video').getDisplaySetsFromSeries = (instances) => {
      given.push(...instances);
      return [];
    };
    ohifExtension.onModeEnter(ohif.context);
    ohif.entry('dicom-video').getDisplaySetsFromSeries([instance('1', '1.2', '1.2.840.10008.1.2.4.103.1')]);
    assert.deepEqual([given[0].AvailableTransferSyntaxUID, given[0].SOPInstanceUID], ['1.2.840.10008.1.2.4.103', '1']);
  });
  test('images of classes that OHIF does not know are frames', () => {
    const ohif = enter();
    const frames = { Rows: 9, PhotometricInterpretation: 'RGB' };
    const make = ohif.entry('not-supported').getDisplaySetsFromSeries;
    make([instance('image', '1.999', HTJ2K, frames), instance('document', '1.999')]);
    make([instance('known', '1.88', HTJ2K, frames)]);
    make([instance('video', '1.999', '1.2.840.10008.1.2.4.102', frames)]);
    assert.deepEqual(ohif.made, [['stack', 'image'], ['unsupported', 'document'], ['unsupported', 'known'], ['unsupported', 'video']]);
  });
  test('entering again mends no second time', () => {
    const ohif = enter();
    ohifExtension.onModeExit();
    ohifExtension.onModeEnter(ohif.context);
    ohif.entry('dicom-video').getDisplaySetsFromSeries([instance('mpeg2', '1.2', '1.2.840.10008.1.2.4.100')]);
    assert.deepEqual(ohif.made, [['unsupported', 'mpeg2']]);
    assert.equal(ohif.listeners.size, 1);
  });
  test('a study of which nothing opens is told, once', (context) => {
    const clock = stopClock(context);
    const ohif = enter();
    ohif.displaySetService.add({ unsupported: true, Modality: 'KO' });
    clock.advance(1000);
    assert.deepEqual(ohif.shown, []); // other series may come
    ohif.displaySetService.add({ unsupported: true, Modality: 'PR' });
    clock.advance(10_000);
    ohif.displaySetService.add({ unsupported: true, Modality: 'PR' });
    clock.advance(10_000);
    assert.equal(ohif.shown.length, 1);
    assert.match(ohif.shown[0].message, /KO, PR/);
  });
  test('a study of which something opens is not', (context) => {
    const clock = stopClock(context);
    const ohif = enter();
    ohif.displaySetService.add({ unsupported: true, Modality: 'KO' }, { Modality: 'CT' });
    clock.advance(10_000);
    ohifExtension.onModeExit();
    assert.deepEqual([ohif.shown, ohif.listeners.size], [[], 0]);
  });
});
