// Part of a Stillframe site.
// For Cornerstone3D and OHIF: exact ranges, and what viewers read wrongly, mended.
// See docs/how-to/use-the-browser-module.md.

const PRIORITY = 1_000_000; // OHIF's highest is 10,000
const HTJ2K = '1.2.840.10008.1.2.4.202';
const LUT_FUNCTIONS = ['LINEAR', 'LINEAR_EXACT', 'SIGMOID']; // PS3.3 C.11.2.1.3
const STEP = 1 / 16; // from black to white: Cornerstone draws none of 0
const KEPT_IMAGES = 1000;
const RETRIEVAL = 'imageRetrieveConfiguration';
const IMAGE_ID = /^wadors:(.*\/studies\/[^/]+\/series\/[^/]+)\/instances\/([^/]+)\/frames\/(\d+)/;

/** Add the providers; the answer takes them away. `metadata`, not for OHIF: as `wadors.metaDataManager.get`. */
export function install(cornerstone, { metadata } = {}) {
  const { metaData } = cornerstone;
  let asking = false;
  const ask = (type, ...query) => {
    asking = true;
    try {
      return metaData.get(type, ...query);
    } finally {
      asking = false;
    }
  };
  const image = makeImageReader(ask, metadata);
  const overlays = makeOverlays(image, () => cornerstone.getRenderingEngines?.()?.forEach((engine) => engine.render()));
  const retrieve = makeRetrieval(cornerstone, ask, image);
  const begun = new Set();
  const answers = {
    voiLutModule: (imageId) => mendWindow(ask('voiLutModule', imageId)),
    imagePlaneModule(imageId) {
      const [, series] = IMAGE_ID.exec(imageId);
      if (!begun.has(series) && begun.add(series)) retrieve(imageId); // OHIF asks for this long before
      return mendAspect(ask('imagePlaneModule', imageId), imageId, image);
    },
    imagePixelModule: (imageId) => mendPalette(mendDeepColour(ask('imagePixelModule', imageId)), imageId, image),
    [RETRIEVAL]: retrieve,
    overlayPlaneModule: overlays,
  };
  const provide = (type, query) =>
    !asking && typeof query === 'string' && Object.hasOwn(answers, type) && (type === RETRIEVAL || IMAGE_ID.test(query))
      ? answers[type](query)
      : undefined;
  const widen = ({ detail }) => widenColourWindow(cornerstone, detail);
  const shown = cornerstone.Enums.Events.STACK_NEW_IMAGE;
  const leaveDecoders = renewDecoders(cornerstone.getWebWorkerManager?.());
  metaData.addProvider(provide, PRIORITY);
  document.addEventListener(shown, widen, true);
  return function uninstall() {
    leaveDecoders();
    metaData.removeProvider(provide);
    document.removeEventListener(shown, widen, true);
  };
}

let stopTelling = () => {};

/** The extension for OHIF: an element of `window.config.extensions`. */
export const ohifExtension = {
  id: 'stillframe',
  preRegistration({ extensionManager, servicesManager }) {
    const { exports } = extensionManager.getModuleEntry('@ohif/extension-cornerstone.utilityModule.common');
    const { cornerstone } = exports.getCornerstoneLibraries();
    install(cornerstone);
    mendStrategies(servicesManager.services.hangingProtocolService.registeredImageLoadStrategies, cornerstone);
  },
  onModeEnter({ extensionManager, servicesManager }) {
    const { displaySetService, uiNotificationService } = servicesManager.services;
    mendHandlers(extensionManager, displaySetService);
    stopTelling = tellWhatOpensNothing(displaySetService, uiNotificationService);
  },
  onModeExit() {
    stopTelling();
  },
};

// ---- windows ----

/** Cornerstone takes the first element of the function, of a text a letter. Only what PS3.3 C.11.2 allows stays. */
function mendWindow(module) {
  if (!module) return module;
  const word = String([module.voiLUTFunction].flat()[0] ?? '').trim().toUpperCase();
  const known = LUT_FUNCTIONS.includes(word) ? word : undefined;
  const centers = numbers(module.windowCenter);
  const widths = numbers(module.windowWidth);
  const least = known === undefined || known === 'LINEAR' ? 1 : Number.MIN_VALUE;
  widths.forEach((width, index) => {
    if (width !== 1 || least !== 1) return;
    widths[index] += STEP;
    centers[index] += STEP / 2;
  });
  const allowed = (index) => widths[index] >= least && Number.isFinite(centers[index]);
  const kept = [...widths.keys()].filter(allowed);
  return {
    ...module,
    voiLUTFunction: known && [known],
    windowCenter: kept.length ? kept.map((index) => centers[index]) : undefined,
    windowWidth: kept.length ? kept.map((index) => widths[index]) : undefined,
  };
}

// ---- colour of more than 8 bits ----

/** Decoded it is RGB: of all else Cornerstone makes bytes. */
function mendDeepColour(module) {
  const transformed = ['YBR_RCT', 'YBR_ICT'].includes(module?.photometricInterpretation);
  return transformed && module.bitsStored > 8 ? { ...module, photometricInterpretation: 'RGB' } : module;
}

function widenColourWindow(cornerstone, { image, renderingEngineId, viewportId }) {
  const bits = image?.imageFrame?.bitsStored;
  if (!image?.color || !(bits > 8) || image.imageFrame.photometricInterpretation === 'PALETTE COLOR') return;
  image.windowWidth = 2 ** bits; // what a reset goes back to
  image.windowCenter = 2 ** (bits - 1);
  const viewport = cornerstone.getRenderingEngine(renderingEngineId)?.getViewport(viewportId);
  const { lower, upper } = viewport?.getProperties().voiRange ?? {};
  if (lower === 0 && upper === 255) viewport.setProperties({ voiRange: { lower: 0, upper: 2 ** bits - 1 } });
}

// ---- geometry ----

/** Without a spacing, that of Pixel Aspect Ratio: vertical, horizontal (PS3.3 C.7.6.3.1.7). */
function mendAspect(module, imageId, image) {
  if (!module?.usingDefaultValues || module.rowPixelSpacing !== 1 || module.columnPixelSpacing !== 1) return module;
  const [vertical, horizontal] = numbers(image.values(imageId, 'PixelAspectRatio'));
  if (!(vertical > 0 && horizontal > 0) || vertical === horizontal) return module;
  const spacing = vertical / horizontal;
  return { ...module, rowPixelSpacing: spacing, pixelSpacing: [spacing, 1] };
}

// ---- palettes ----

function mendPalette(module, imageId, image) {
  if (module?.photometricInterpretation !== 'PALETTE COLOR' || module.redPaletteColorLookupTableData) return module;
  const tables = ['red', 'green', 'blue'].map((colour, index) => {
    const [entries] = numbers(module[`${colour}PaletteColorLookupTableDescriptor`]);
    const table = image.bytes(imageId, `0028120${index + 1}`).then((bytes) => asTable(bytes, entries || 65536));
    table.catch(() => {}); // whoever needs it meets the failure
    return [`${colour}PaletteColorLookupTableData`, table];
  });
  return { ...module, ...Object.fromEntries(tables) };
}

/** A byte an entry, or two (PS3.3 C.7.6.3.1.6). */
function asTable(bytes, entries) {
  return bytes.byteLength >= 2 * entries ? new Uint16Array(bytes.slice(0, 2 * entries)) : new Uint8Array(bytes);
}

// ---- overlays ----

function makeOverlays(image, redraw) {
  const made = new Map(); // by image id: a module or a promise
  return (imageId) => {
    const found = made.get(imageId);
    if (found && !(found instanceof Promise)) return found;
    if (!found && image.values(imageId, 'OverlayRows')) {
      const reading = readOverlays(image, imageId);
      remember(made, imageId, reading);
      reading.then(
        (module) => {
          made.set(imageId, module);
          if (module.overlays.length) redraw();
        },
        (error) => console.warn('stillframe: no overlays of', imageId, error),
      );
    }
    return undefined;
  };
}

async function readOverlays(image, imageId) {
  const elements = await image.elements(imageId);
  const frame = Number(IMAGE_ID.exec(imageId)[3]);
  const tags = Object.keys(elements).filter((tag) => /^60[01][02468ACE]3000$/.test(tag));
  const planes = tags.map(async (tag) => {
    const group = tag.slice(0, 4);
    const overlay = describeOverlay(elements, group, frame);
    return overlay && drawPlane(await image.bytes(imageId, tag), overlay, elements);
  });
  return { overlays: (await Promise.all(planes)).filter(Boolean) };
}

/** Its planes follow the frames from Image Frame Origin on; one without an origin belongs to all (PS3.3 C.9.2, C.9.3). */
function describeOverlay(elements, group, frame) {
  const value = (element) => elements[group + element]?.Value ?? [];
  const [planes] = numbers(value('0015'));
  const [origin] = numbers(value('0051'));
  const index = planes === undefined && origin === undefined ? 0 : frame - (origin ?? 1);
  const [rows] = numbers(value('0010'));
  const [columns] = numbers(value('0011'));
  if (index < 0 || index >= (planes ?? 1) || !(rows > 0 && columns > 0)) return undefined;
  const [top = 1, left = 1] = numbers(value('0050'));
  const texts = { type: value('0040')[0], description: value('0022')[0], label: value('1500')[0] };
  return { rows, columns, top, left, index, ...texts };
}

/** An overlay of the size of its image. Bits are not padded, the lowest is first (PS3.5 8.1.2). */
function drawPlane(bytes, { rows, columns, top, left, index, ...texts }, elements) {
  const [height] = numbers(elements['00280010']?.Value);
  const [width] = numbers(elements['00280011']?.Value);
  const source = new Uint8Array(bytes);
  const plane = new Uint8Array(Math.ceil((width * height) / 8));
  for (let row = Math.max(0, 1 - top); row < rows && row + top <= height; row++) {
    for (let column = Math.max(0, 1 - left); column < columns && column + left <= width; column++) {
      const bit = (index * rows + row) * columns + column;
      if (!((source[bit >> 3] >> (bit & 7)) & 1)) continue;
      const target = (row + top - 1) * width + column + left - 1;
      plane[target >> 3] |= 1 << (target & 7);
    }
  }
  return { ...texts, rows: height, columns: width, x: 1, y: 1, pixelData: [plane.buffer] };
}

// ---- frames by exact ranges ----

const [REPLICATE, SUBRESOLUTION, FULL] = [3, 6, 8]; // Cornerstone's ImageQualityStatus
const PATIENCE_MS = 1000; // with a frame index
const PASS_SHARE = 0.1; // of a volume's bytes
const REQUESTS = 100; // by HTTP/2; by HTTP/1.1 a browser sends six
const SOON_MS = 30; // not worth a request of its own
const LATER_MS = 100; // worth a picture meanwhile
const TELLING_MS = 200; // a viewer that is told of a picture draws all planes
const TRIES = 6; // without a byte between them
const PAUSE_MS = 100;

/** Where the first request ends, for at least a quarter of the columns seen, and the cuts worth a picture before all. */
export function planStack(cuts, canvas, bytesPerMs) {
  const whole = cuts.at(-1);
  const scale = Math.min(1, canvas.width / whole.width, canvas.height / whole.height);
  const first = cuts.find(({ width }) => 4 * width >= scale * whole.width);
  const isSoon = (whole.end - first.end) / bytesPerMs <= SOON_MS;
  return { end: isSoon ? whole.end : first.end, cuts: cuts.filter(({ end }) => end >= first.end && end < whole.end) };
}

/** The finest level that would cost at most PASS_SHARE of all frames' bytes. */
export function planVolume(frames) {
  const cost = (level) => frames.reduce((sum, cuts) => sum + cuts.find((cut) => cut.decodeLevel === level)?.end, 0);
  return frames[0]?.map((cut) => cut.decodeLevel).findLast((level) => cost(level) <= PASS_SHARE * cost(0));
}

/** Answers which retrieve configuration our frames have. */
function makeRetrieval(cornerstone, ask, image) {
  const { cache } = cornerstone;
  const line = { bytesPerMs: 4000, ranges: true }; // until it is measured
  const frames = new Map(); // by image id, from the first byte to the last
  const indexes = new Map(); // by series: promises of groups
  const warn = (error) => console.warn('stillframe:', error);
  const recordOf = (imageId) => image.values(imageId, 'record')?.find((text) => /^format=\d+;/.test(text));
  const isOurs = (imageId) =>
    IMAGE_ID.test(imageId) && image.values(imageId, 'AvailableTransferSyntaxUID')?.[0] === HTJ2K && recordOf(imageId);

  const readIndex = (series) =>
    once(indexes, series, () => {
      const parse = (bytes) => JSON.parse(new TextDecoder().decode(bytes)).groups;
      const reading = makeFrame(`${series}/frame-index`, line).read().then(parse).catch(warn);
      reading.then(() => indexes.set(series, reading));
      return Promise.race([reading, sleep(PATIENCE_MS)]);
    });

  async function find(imageId) {
    const [, series, instance, number] = IMAGE_ID.exec(imageId);
    const groups = await readIndex(series);
    return once(frames, imageId, () => {
      const { instances, levels } = groups?.find((group) => group.instances[instance]) ?? {};
      const cuts = instances?.[instance][number - 1]?.map((end, index) => ({ ...levels[index], end }));
      const url = imageId.slice('wadors:'.length);
      const hasReduced = /;reduced=(\d+,)*2[,;]/.test(recordOf(imageId));
      const reduced = hasReduced && makeFrame(url.replace('/frames/', '/reduced/2/frames/'), line);
      return { ...makeFrame(url, line, cuts), reduced };
    });
  }

  /** Has the viewer decode all, or of a prefix a level, without a request. */
  function decode(imageId, bytes, listener, decodeLevel) {
    return cornerstone.imageLoader.loadImage(imageId, {
      ...listener.getLoaderImageOptions(imageId),
      ignoreCache: true,
      retrieveOptions: { rangeIndex: 0, decodeLevel: decodeLevel ?? 0 },
      streamingData: {
        url: imageId.slice('wadors:'.length),
        encodedData: bytes,
        totalBytes: decodeLevel === undefined ? bytes.length : Infinity,
        chunkSize: 0,
        initialChunkSize: 0,
        responseHeaders: { get: () => `image/jphc; transfer-syntax=${HTJ2K}` },
      },
    });
  }

  /** The whole image, for others too. What fails is left to the viewer. */
  async function finish(imageId, listener, kind, load, tell = listener.successCallback.bind(listener)) {
    const cached = cache.getImageLoadObject(imageId)?.promise ?? cache.getImage(imageId, FULL);
    try {
      const promise = cached ?? load();
      if (!cached) await cache.putImageLoadObject(imageId, { promise });
      tell(imageId, await promise);
    } catch (error) {
      warn(error);
      await leave(imageId, listener, kind);
    }
    frames.delete(imageId);
  }

  function leave(imageId, listener, kind) {
    const theirs = ask(RETRIEVAL, imageId, kind);
    const create = theirs?.create ?? cornerstone.ProgressiveRetrieveImages.createProgressive;
    return create(theirs ?? {}).loadImages([imageId], listener);
  }

  async function loadStackImage(imageId, listener) {
    if (!isOurs(imageId)) return leave(imageId, listener, 'stack');
    const { cuts, reduced, read } = await find(imageId);
    let shown = 0;
    let showing;
    const show = (bytes, decodeLevel) => {
      shown = bytes.length;
      showing = decode(imageId, bytes, listener, decodeLevel)
        .then((picture) => {
          cache.setPartialImage(imageId, picture);
          listener.successCallback(imageId, picture);
        }, warn)
        .finally(() => (showing = undefined));
    };
    return finish(imageId, listener, 'stack', async () => {
      if (cuts) {
        const whole = cuts.at(-1);
        const plan = planStack(cuts, listener.canvas ?? whole, line.bytesPerMs);
        const told = (length, bytes) => {
          const cut = plan.cuts.findLast(({ end }) => end <= length);
          const rest = whole.end - length;
          const isWorth = shown || plan.end === whole.end ? rest / line.bytesPerMs > LATER_MS : rest > 0;
          if (cut?.end > shown && !showing && isWorth) show(bytes(cut.end), cut.decodeLevel);
        };
        await read(plan.end, { told });
        await read(whole.end, { told });
      } else if (reduced) {
        await reduced.read().then((bytes) => show(bytes, 0), warn);
      }
      const bytes = await read();
      await showing;
      return decode(imageId, bytes, listener);
    });
  }

  /** First every other frame at a low resolution, for its neighbours too. */
  async function loadVolume(imageIds, listener) {
    const found = await Promise.all(imageIds.map(find));
    const level = planVolume(found.map(({ cuts }) => cuts).filter(Boolean));
    const isOver = () => listener.loadStatus?.cancelled;
    const untold = [];
    const tellAll = () => untold.splice(0).forEach((shown) => isOver() || listener.successCallback(...shown));
    const tell = (...shown) => untold.push(shown) > 1 || setTimeout(tellAll, TELLING_MS);
    const put = (imageId, picture, imageQualityStatus) => {
      if (isOver() || !imageId || cache.getImageQuality(imageId) >= imageQualityStatus) return;
      const copy = { ...picture, imageId, imageQualityStatus };
      cache.setPartialImage(imageId, copy);
      tell(imageId, copy);
    };
    const show = async (index, bytes, decodeLevel) => {
      const picture = await decode(imageIds[index], bytes, listener, decodeLevel);
      put(imageIds[index], picture, SUBRESOLUTION);
      for (const near of [index - 1, index + 1]) put(imageIds[near], picture, REPLICATE);
    };
    const readFirst = async (index) => {
      const { cuts, reduced, read } = found[index];
      if (isOver() || (cuts && level === undefined) || cache.getImageLoadObject(imageIds[index])) return;
      const cut = line.ranges && cuts?.find(({ decodeLevel }) => decodeLevel === level);
      const part = cut && (await read(cut.end, { isPart: true }).catch(warn));
      const bytes = part || (reduced && (await reduced.read().catch(warn)));
      if (bytes) show(index, bytes, part ? level : 0).catch(warn);
    };
    const readRest = async (index) => {
      const imageId = imageIds[index];
      const load = async () => decode(imageId, await found[index].read(undefined, { priority: 'low' }), listener);
      if (!isOver()) await finish(imageId, listener, 'volume', load, tell);
    };
    // Spread over the volume: by reversed bits.
    const bits = (index) => [...index.toString(2)].reverse().join('');
    const order = [...imageIds.keys()].sort((one, other) => (bits(one) < bits(other) ? -1 : 1));
    const first = order.filter((index) => index % 2 === 0).map((index) => () => readFirst(index));
    const rest = order.map((index) => () => readRest(index));
    await inParallel([...first, ...rest], Math.min(REQUESTS, first.length));
    tellAll();
  }

  return (query) => {
    const imageIds = IMAGE_ID.test(query) ? [query] : (cache?.getVolume?.(query)?.imageIds ?? []);
    if (!imageIds.length || !imageIds.every(isOurs)) return undefined;
    readIndex(IMAGE_ID.exec(imageIds[0])[1]);
    const loadStack = (ids, listener) => Promise.all(ids.map((imageId) => loadStackImage(imageId, listener)));
    return {
      stages: [{ id: 'whole', retrieveType: 'default' }],
      retrieveOptions: { default: {} },
      create: () => ({ loadImages: imageIds[0] === query ? loadStack : loadVolume }),
    };
  };
}

/** A frame as far as it has come. `read(end)` asks for what is missing, and goes on where connections are lost. */
function makeFrame(url, line, cuts) {
  let total = cuts?.at(-1).end ?? Infinity;
  let chunks = [];
  let length = 0;
  let turn = Promise.resolve();

  async function read(end = total, { told, isPart, priority } = {}) {
    for (let failures = 0; length < end; ) {
      const before = length;
      try {
        await request(end, told, isPart, priority);
        if (end === Infinity) end = total = length;
      } catch (error) {
        if (error.final || (length === before && ++failures === TRIES)) throw error;
        await sleep(PAUSE_MS * 2 ** failures);
      }
    }
    return bytes(end);
  }

  async function request(end, told, isPart, priority = 'auto') {
    const isRange = length || end < total;
    const headers = isRange ? { Range: `bytes=${length}-${end < Infinity ? end - 1 : ''}` } : {};
    const response = await fetch(url, { headers, priority });
    const answered = performance.now();
    const { ok, status, body } = response;
    const size = response.headers.get('Content-Range')?.split('/')[1];
    if (isRange && status === 200) line.ranges = false;
    const fail = () => {
      throw Object.assign(new Error(`${status} ${url}`), { final: status < 429 });
    };
    if (!ok || (isPart && status === 200) || (size && total < Infinity && Number(size) !== total)) {
      await body?.cancel();
      fail();
    }
    const start = status === 206 ? length : 0;
    let position = start;
    for (const reader = body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      const chunk = value.subarray(Math.max(0, length - position));
      position += value.length;
      length += chunk.length;
      chunks.push(chunk);
      told?.(length, bytes);
    }
    if (length > total) fail();
    const ms = performance.now() - answered;
    if (told && position - start > 1 << 15 && ms > 1) line.bytesPerMs = (line.bytesPerMs + (position - start) / ms) / 2;
  }

  function bytes(end) {
    const joined = new Uint8Array(length);
    chunks.reduce((at, chunk) => (joined.set(chunk, at), at + chunk.length), 0);
    chunks = [joined];
    return joined.subarray(0, end);
  }

  return { cuts, read: (end, options) => (turn = turn.catch(() => {}).then(() => read(end, options))) };
}

async function inParallel(tasks, count) {
  const rest = tasks.values();
  const work = async () => {
    for (const task of rest) await task();
  };
  await Promise.all([...Array(count)].map(work));
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ---- decoders ----

const DECODERS = 'dicomImageLoader'; // Cornerstone's name of its workers
const HEAP_BYTES = 2 ** 29;

/** Workers of Cornerstone keep all HTJ2K that they decoded (its pull request 1388): one that had enough is replaced. */
function renewDecoders(manager) {
  const choose = manager?.getNextWorkerAPI;
  if (!choose) return () => {};
  const uses = [];
  manager.getNextWorkerAPI = (name) => {
    const chosen = choose.call(manager, name);
    if (name !== DECODERS || !chosen) return chosen;
    const { index } = chosen;
    const { workerFn, instances, nativeWorkers } = manager.workerRegistry[name];
    const last = uses[index];
    if (last?.bytes > HEAP_BYTES) {
      const worker = nativeWorkers[index];
      last.end = () => last.tasks || worker.terminate();
      last.end();
      manager.registerWorker('stillframe', workerFn, { overwrite: true });
      const { stillframe } = manager.workerRegistry;
      [instances[index]] = stillframe.instances;
      [nativeWorkers[index]] = stillframe.nativeWorkers;
      uses[index] = undefined;
    }
    const use = (uses[index] ??= { bytes: 0, tasks: 0 });
    const api = instances[index];
    const decodeTask = async (task, ...more) => {
      use.tasks += 1;
      try {
        const frame = await api.decodeTask(task, ...more);
        use.bytes += task.pixelData.length + frame.pixelData.byteLength;
        return frame;
      } finally {
        use.tasks -= 1;
        use.end?.();
      }
    };
    return { index, api: { __proto__: api, decodeTask } };
  };
  return () => (manager.getNextWorkerAPI = choose);
}

// ---- what opens in OHIF ----

const HANDLERS = {
  videos: '@ohif/extension-dicom-video.sopClassHandlerModule.dicom-video',
  stacks: '@ohif/extension-default.sopClassHandlerModule.stack',
  unsupported: '@ohif/extension-default.sopClassHandlerModule.not-supported-display-sets-handler',
};
const SETTLED_MS = 3000; // series arrive one by one

/** Hanging protocols that load volumes by a strategy leave ours to the volumes. */
function mendStrategies(strategies, { cache, metaData }) {
  for (const [name, load] of Object.entries(strategies)) {
    strategies[name] = (given) => {
      const { viewportId, volumeInputArray: inputs } = given.data;
      if (!inputs.every(({ volumeId }) => metaData.get(RETRIEVAL, volumeId)?.create)) return load(given);
      inputs.forEach(({ volumeId }) => cache.getVolume(volumeId).load());
      return new Map([[viewportId, inputs]]);
    };
  }
}

/** Frames go to the handler of stacks, videos to that of videos; MPEG-2 plays nowhere. */
function mendHandlers(extensionManager, displaySetService) {
  const { videos, stacks, unsupported } = Object.fromEntries(
    Object.entries(HANDLERS).map(([name, id]) => [name, extensionManager.getModuleEntry(id)]),
  );
  if (!videos || !stacks || !unsupported || videos.mended) return;
  const keepMaker = ({ getDisplaySetsFromSeries: make }) => (instances) => (instances.length ? make(instances) : []);
  const [makeVideos, makeStacks, makeUnsupported] = [videos, stacks, unsupported].map(keepMaker);
  videos.mended = true;
  videos.sopClassUids = [...new Set([...videos.sopClassUids, ...stacks.sopClassUids])];
  videos.getDisplaySetsFromSeries = (instances) => {
    const unplayable = instances.filter(isMpeg2);
    const playable = instances.filter((instance) => (isVideo(instance) && !isMpeg2(instance)) || !syntaxOf(instance));
    return [...makeVideos(playable.map(asWhole)), ...makeUnsupported(unplayable)];
  };
  unsupported.getDisplaySetsFromSeries = (instances) => {
    const uid = instances[0]?.SOPClassUID;
    const handlers = displaySetService.SOPClassHandlerIds.map((id) => extensionManager.getModuleEntry(id));
    const known = handlers.some((handler) => handler?.sopClassUids.includes(uid));
    const isImage = (one) => !known && one.Rows && one.PhotometricInterpretation && !isVideo(one);
    const others = instances.filter((instance) => !isImage(instance));
    return [...makeStacks(instances.filter(isImage)), ...makeUnsupported(others)];
  };
}

const isVideo = (instance) => /^1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?$/.test(syntaxOf(instance));
const isMpeg2 = (instance) => /^1\.2\.840\.10008\.1\.2\.4\.10[01](\.1)?$/.test(syntaxOf(instance));

function asWhole(instance) {
  const syntax = syntaxOf(instance)?.replace(/(\.10[2-6])\.1$/, '$1');
  return syntax === syntaxOf(instance)
    ? instance
    : Object.create(instance, { AvailableTransferSyntaxUID: { value: syntax, enumerable: true } });
}

const syntaxOf = (instance) => [instance.AvailableTransferSyntaxUID].flat()[0];

function tellWhatOpensNothing(displaySetService, uiNotificationService) {
  let timer;
  const told = new Set();
  const { unsubscribe } = displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const sets = displaySetService.getActiveDisplaySets();
      const kinds = [...new Set(sets.map(({ Modality }) => Modality || 'unknown'))].join(', ');
      if (!sets.length || sets.some((set) => !set.unsupported) || told.has(kinds)) return;
      told.add(kinds);
      uiNotificationService.show({
        title: 'Nothing of this study opens here',
        message: `OHIF has no view for: ${kinds}. The study page shows or downloads it.`,
        type: 'info',
        duration: 30_000,
        action: { label: 'Study page', onClick: () => window.location.assign(studyPage()) },
      });
    }, SETTLED_MS);
  });
  return () => {
    clearTimeout(timer);
    unsubscribe();
  };
}

function studyPage() {
  const page = new URL('.', import.meta.url);
  const token = new URLSearchParams(window.location.search).get('root'); // of an unlisted study
  if (token) page.searchParams.set('root', token);
  return page;
}

// ---- what is known of an image ----

const TAGS = {
  PixelAspectRatio: /^00280034$/,
  OverlayRows: /^60[01][02468ACE]0010$/,
  AvailableTransferSyntaxUID: /^00083002$/,
  record: /^0099..02$/, // (0099,xx02), creator STILLFRAME
};

/** What is known of an image at once (`values`), and by its series' metadata. OHIF's keys are keywords. */
function makeImageReader(ask, metadata) {
  const documents = new Map(); // by series: promises of elements
  const readSeries = (url) => once(documents, url, () => fetchElements(`${url}/metadata`));
  const elements = async (imageId) => {
    const [, series, instance] = IMAGE_ID.exec(imageId);
    const found = (await readSeries(series)).get(instance);
    if (!found) throw new Error(`no ${instance} in ${series}/metadata`);
    return found;
  };
  return {
    elements,
    values(imageId, name) {
      const dataset = metadata?.(imageId);
      const known = dataset ?? ask('instance', imageId) ?? {};
      const key = dataset || name === 'record' ? findKey(known, TAGS[name]) : name;
      const value = dataset ? known[key]?.Value : known[key];
      return value === undefined || value === null ? undefined : [value].flat();
    },
    async bytes(imageId, tag) {
      const { InlineBinary: inline, BulkDataURI: uri } = (await elements(imageId))[tag] ?? {};
      if (inline !== undefined) return Uint8Array.from(atob(inline), (letter) => letter.charCodeAt(0)).buffer;
      if (!uri) throw new Error(`no value of ${tag}`);
      const url = new URL(uri, `${IMAGE_ID.exec(imageId)[1]}/metadata`);
      return (await fetchOk(url)).arrayBuffer();
    },
  };
}

function findKey(object, pattern) {
  for (const key in object) if (pattern.test(key)) return key;
  return undefined;
}

async function fetchElements(url) {
  const wanted = /^(60[01][02468ACE]....|002812..|0028001[01])$/;
  const documents = await (await fetchOk(url, { headers: { Accept: 'application/dicom+json' } })).json();
  return new Map(
    documents.map((dataset) => [
      dataset['00080018']?.Value?.[0],
      Object.fromEntries(Object.entries(dataset).filter(([tag]) => wanted.test(tag))),
    ]),
  );
}

async function fetchOk(url, options) {
  const response = await fetch(url, options);
  if (!response.ok) throw new Error(`${response.status} ${url}`);
  return response;
}

function remember(map, key, value) {
  map.set(key, value);
  if (map.size > KEPT_IMAGES) map.delete(map.keys().next().value);
}

/** What a map remembers, or is to; a promise that fails is forgotten. */
function once(map, key, make) {
  if (!map.has(key)) {
    const value = make();
    remember(map, key, value);
    value.catch?.(() => map.delete(key));
  }
  return map.get(key);
}

/** Of a number, a list, a text of either, or nothing. */
function numbers(value) {
  const items = [value].flat().flatMap((item) => (typeof item === 'string' ? item.split('\\') : (item ?? [])));
  return items.filter((item) => item !== '').map(Number);
}
