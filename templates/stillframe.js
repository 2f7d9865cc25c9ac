// Part of a Stillframe site.
// What prebuilt viewers read wrongly, mended: metadata providers for Cornerstone3D, and an extension for OHIF that
// installs them. No build step, no dependency. docs/how-to/use-the-browser-module.md says how to use it.
// The archive is right without it: nothing here changes a value, only what a viewer makes of it.

const PRIORITY = 1_000_000; // above the providers of OHIF, whose highest is 10,000
const HTJ2K = '1.2.840.10008.1.2.4.202';
const LUT_FUNCTIONS = ['LINEAR', 'LINEAR_EXACT', 'SIGMOID']; // PS3.3 C.11.2.1.3
const STAGED_FROM_BYTES = 1 << 20; // smaller frames arrive whole in about the time that a second request takes
const STEP = 1 / 16; // from black to white where Window Width is 1
const KEPT_IMAGES = 1000; // of the overlays that were made last
const COLOURS = ['red', 'green', 'blue'];
const IMAGE_ID = /^wadors:(.*\/studies\/[^/]+\/series\/[^/]+)\/instances\/([^/]+)\/frames\/(\d+)/;

/**
 * Add the providers to a Cornerstone3D.
 *
 * `cornerstone` is the namespace of `@cornerstonejs/core`. `metadata` answers the DICOM JSON that the page has given to
 * its loader for an image id, as `wadors.metaDataManager.get` does; in OHIF it is not needed.
 * Returns a function that takes everything away again.
 */
export function install(cornerstone, { metadata } = {}) {
  const { metaData } = cornerstone;
  let asking = false;
  const ask = (type, imageId) => {
    asking = true;
    try {
      return metaData.get(type, imageId);
    } finally {
      asking = false;
    }
  };
  const image = makeImageReader(ask, metadata);
  const overlays = makeOverlays(image, () => cornerstone.getRenderingEngines?.()?.forEach((engine) => engine.render()));
  const answers = {
    voiLutModule: (imageId) => mendWindow(ask('voiLutModule', imageId)),
    imagePlaneModule: (imageId) => mendAspect(ask('imagePlaneModule', imageId), imageId, image),
    imagePixelModule: (imageId) => mendPalette(mendDeepColour(ask('imagePixelModule', imageId)), imageId, image),
    imageRetrieveConfiguration: (imageId) => chooseStages(ask('imagePixelModule', imageId), imageId, image),
    overlayPlaneModule: overlays,
  };
  const provide = (type, query) =>
    !asking && Object.hasOwn(answers, type) && typeof query === 'string' && IMAGE_ID.test(query)
      ? answers[type](query)
      : undefined;
  const widen = ({ detail }) => widenColourWindow(cornerstone, detail);
  const shown = cornerstone.Enums.Events.STACK_NEW_IMAGE; // sent to the viewport's element, before it is drawn
  metaData.addProvider(provide, PRIORITY);
  document.addEventListener(shown, widen, true);
  return function uninstall() {
    metaData.removeProvider(provide);
    document.removeEventListener(shown, widen, true);
  };
}

let stopTelling = () => {};

/** The extension for OHIF: an element of `window.config.extensions`. */
export const ohifExtension = {
  id: 'stillframe',
  preRegistration({ extensionManager }) {
    const { exports } = extensionManager.getModuleEntry('@ohif/extension-cornerstone.utilityModule.common');
    install(exports.getCornerstoneLibraries().cornerstone);
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

/**
 * A voiLutModule whose VOI LUT Function is a list: Cornerstone takes its first element, and of a text that is a letter.
 * Words that PS3.3 C.11.2.1.3 does not define are left out (LINEAR is the default), and so are windows that no function
 * allows: Window Width is at least 1 for LINEAR, above 0 for the others (C.11.2.1.2.1, C.11.2.1.3.1, C.11.2.1.3.2).
 */
function mendWindow(module) {
  if (!module) return module;
  const word = String([module.voiLUTFunction].flat()[0] ?? '').trim().toUpperCase();
  const known = LUT_FUNCTIONS.includes(word) ? word : undefined;
  const centers = numbers(module.windowCenter);
  const widths = numbers(module.windowWidth);
  const least = known === undefined || known === 'LINEAR' ? 1 : Number.MIN_VALUE;
  // Of width 1 the function has one step, above C - 0.5, which Cornerstone does not draw: half a step of integers here.
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

/** What a colour transform decodes to is RGB. Called so, it keeps its depth: Cornerstone makes bytes of all else. */
function mendDeepColour(module) {
  const transformed = ['YBR_RCT', 'YBR_ICT'].includes(module?.photometricInterpretation);
  return transformed && module.bitsStored > 8 ? { ...module, photometricInterpretation: 'RGB' } : module;
}

/**
 * Colour of more than 8 bits is shown over its whole range: Cornerstone shows every colour image from 0 to 255.
 *
 * No provider reaches that window, so it is set when a viewport gets such an image, unless someone chose another.
 */
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

/** An imagePlaneModule without a spacing gets that of Pixel Aspect Ratio: vertical, horizontal (PS3.3 C.7.6.3.1.7). */
function mendAspect(module, imageId, image) {
  if (!module?.usingDefaultValues || module.rowPixelSpacing !== 1 || module.columnPixelSpacing !== 1) return module;
  const [vertical, horizontal] = numbers(image.values(imageId, 'PixelAspectRatio'));
  if (!(vertical > 0 && horizontal > 0) || vertical === horizontal) return module;
  const spacing = vertical / horizontal;
  return { ...module, rowPixelSpacing: spacing, pixelSpacing: [spacing, 1] };
}

// ---- palettes ----

/** An imagePixelModule whose palette's tables are there: promises of them, where the viewer found no values. */
function mendPalette(module, imageId, image) {
  if (module?.photometricInterpretation !== 'PALETTE COLOR' || module.redPaletteColorLookupTableData) return module;
  const tables = COLOURS.map((colour, index) => {
    const [entries] = numbers(module[`${colour}PaletteColorLookupTableDescriptor`]);
    const table = image.bytes(imageId, `0028120${index + 1}`).then((bytes) => asTable(bytes, entries || 65536));
    table.catch(() => {}); // whoever draws the image meets the failure; other questions are not its victims
    return [`${colour}PaletteColorLookupTableData`, table];
  });
  return { ...module, ...Object.fromEntries(tables) };
}

/** The entries of a table: a byte each, or two (PS3.3 C.7.6.3.1.6). */
function asTable(bytes, entries) {
  return bytes.byteLength >= 2 * entries ? new Uint16Array(bytes.slice(0, 2 * entries)) : new Uint8Array(bytes);
}

// ---- overlays ----

/** Overlay planes as OHIF draws them, once they have been read; `redraw` is called when they are. */
function makeOverlays(image, redraw) {
  const made = new Map(); // image id -> module, or a promise of it; OHIF keeps pictures in the module
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
        (error) => console.warn('stillframe: the overlays of an image cannot be read.', imageId, error),
      );
    }
    return undefined;
  };
}

async function readOverlays(image, imageId) {
  const elements = await image.elements(imageId);
  const frame = Number(IMAGE_ID.exec(imageId)[3]);
  const planes = overlayGroups(elements).map(async (group) => {
    const overlay = describeOverlay(elements, group, frame);
    return overlay && drawPlane(await image.bytes(imageId, `${group}3000`), overlay, elements);
  });
  return { overlays: (await Promise.all(planes)).filter(Boolean) };
}

function overlayGroups(elements) {
  return Object.keys(elements).filter((tag) => /^60[01][02468ACE]3000$/.test(tag)).map((tag) => tag.slice(0, 4));
}

/**
 * Where one overlay group lies, and which of its planes belongs to a frame (from 1); undefined where none does.
 *
 * Planes follow the frames one to one from Image Frame Origin on, or from the first; one plane without an origin
 * belongs to every frame (PS3.3 C.9.2, C.9.3).
 */
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

/**
 * An overlay of the size of its image: OHIF scales those that begin elsewhere than at the first pixel.
 *
 * Bits follow each other without padding, planes too, from the least significant bit of a byte on (PS3.5 8.1.2).
 */
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

// ---- stages ----

/**
 * How an image comes: large HTJ2K frames first halved twice, then whole; where no halved frame was published, whole.
 *
 * undefined for images whose record does not say so: then the viewer's own configuration decides.
 */
function chooseStages(module, imageId, image) {
  const record = image.values(imageId, 'record')?.find((text) => /^format=\d+;/.test(text));
  if (!module || !record) return undefined;
  const { rows, columns, samplesPerPixel = 1, bitsAllocated = 8 } = module;
  const bytes = (rows * columns * samplesPerPixel * bitsAllocated) / 8;
  const [syntax] = image.values(imageId, 'AvailableTransferSyntaxUID') ?? [];
  const halved = syntax === HTJ2K && /;reduced=(\d+,)*2[,;]/.test(record) && bytes >= STAGED_FROM_BYTES;
  const whole = { id: 'whole', retrieveType: 'default' };
  const reduced = { id: 'reduced', retrieveType: 'reduced' };
  return {
    stages: halved ? [reduced, whole] : [whole],
    retrieveOptions: {
      default: {}, // for prefetching too
      reduced: { framesPath: '/reduced/2/frames/', decodeLevel: 0, imageQualityStatus: 6 }, // SUBRESOLUTION
    },
  };
}

// ---- what opens in OHIF ----

const HANDLERS = {
  videos: '@ohif/extension-dicom-video.sopClassHandlerModule.dicom-video',
  stacks: '@ohif/extension-default.sopClassHandlerModule.stack',
  unsupported: '@ohif/extension-default.sopClassHandlerModule.not-supported-display-sets-handler',
};
const SETTLED_MS = 3000; // the series of a study arrive one by one

/**
 * Frames go to the handler of stacks, videos to that of videos, whatever their SOP class.
 *
 * By itself OHIF takes secondary captures of 90 frames and more, and all of the video photographic class, for videos;
 * videos of other classes for frames; and images of classes that it has not heard of for nothing. MPEG-2 plays in no
 * browser: it counts as unsupported.
 */
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

/** Whether it is a video by its transfer syntax (PS3.5 A.4.5 and following). */
function isVideo(instance) {
  return /^1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?$/.test(syntaxOf(instance));
}

/** OHIF does not know the fragmentable transfer syntaxes, whose streams are the same. */
function asWhole(instance) {
  const syntax = syntaxOf(instance)?.replace(/(\.10[2-6])\.1$/, '$1');
  return syntax === syntaxOf(instance)
    ? instance
    : Object.create(instance, { AvailableTransferSyntaxUID: { value: syntax, enumerable: true } });
}

function isMpeg2(instance) {
  return /^1\.2\.840\.10008\.1\.2\.4\.10[01](\.1)?$/.test(syntaxOf(instance));
}

function syntaxOf(instance) {
  return [instance.AvailableTransferSyntaxUID].flat()[0];
}

/** Where OHIF has a view of nothing in the study it says so, with the way to the page that shows or downloads it. */
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

/**
 * What is known of an image at once (`values`), and what the metadata document of its series says (promises).
 *
 * OHIF's instances have the names of attributes for keys, but for private ones; of repeating groups the last remains.
 */
function makeImageReader(ask, metadata) {
  const documents = new Map(); // URL of a series -> promise of its instances' elements
  const readSeries = (url) => {
    if (!documents.has(url)) {
      const reading = fetchElements(`${url}/metadata`);
      remember(documents, url, reading);
      reading.catch(() => documents.delete(url));
    }
    return documents.get(url);
  };
  const elements = async (imageId) => {
    const [, series, instance] = IMAGE_ID.exec(imageId);
    const found = (await readSeries(series)).get(instance);
    if (!found) throw new Error(`${series}/metadata does not have the instance ${instance}`);
    return found;
  };
  return {
    elements,
    values(imageId, name) {
      const dataset = metadata?.(imageId);
      const known = dataset ?? ask('instance', imageId) ?? {};
      const key = dataset || name === 'record' ? findKey(known, TAGS[name]) : name; // asked at every drawing: be quick
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

/** Of each instance of a series the elements that this module reads: overlays, palettes, rows and columns. */
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

/** Keep a value, and no more than KEPT_IMAGES of them. */
function remember(map, key, value) {
  map.set(key, value);
  if (map.size > KEPT_IMAGES) map.delete(map.keys().next().value);
}

/** Numbers of a value that is one, a list, a text of either, or missing. */
function numbers(value) {
  const items = [value].flat().flatMap((item) => (typeof item === 'string' ? item.split('\\') : (item ?? [])));
  return items.filter((item) => item !== '').map(Number);
}
