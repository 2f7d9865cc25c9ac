// A host of frames and a viewer that has them decoded, for stillframe.js: real requests, recorded; nothing is decoded.
import http from 'node:http';

const HTJ2K = '1.2.840.10008.1.2.4.202';
const SERIES = '/dicomweb/studies/1.2/series/1.2.3';
const TYPE = { 'Content-Type': `image/jphc; transfer-syntax=${HTJ2K}` };

/** Bytes that are the same in no two places of a frame, or of two frames. */
export function makeBytes(length, seed = 1) {
  const words = new Uint32Array(Math.ceil(length / 4)).map((_, index) => Math.imul(index + 1, 2654435761) ^ (seed * 40503));
  return new Uint8Array(words.buffer, 0, length);
}

/**
 * A host: `objects` from path below the series to bytes, `index` the groups of the frame index or nothing.
 *
 * `ignoresRanges` answers 200 to all; `neverAnswersIndex` leaves whoever asks for the frame index waiting; `answers` are
 * the statuses of the first requests for frames; `loses(count)` says after how many bytes the connection of request
 * number `count` is lost.
 */
export async function startHost({ objects, index, ignoresRanges, neverAnswersIndex, answers = [], loses = () => undefined }) {
  const asked = [];
  const server = http.createServer((request, response) => {
    const path = request.url.slice(SERIES.length + 1);
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    if (path === 'frame-index') {
      if (neverAnswersIndex) return undefined;
      return index ? response.end(JSON.stringify({ version: 1, groups: index })) : response.writeHead(404).end();
    }
    asked.push(range ? `${path} ${range[1]}-${range[2]}` : path);
    const status = answers.shift();
    if (status) return response.writeHead(status).end('an error page');
    const bytes = objects[path];
    if (!bytes) return response.writeHead(404).end();
    let [start, end] = [0, bytes.length];
    if (range && !ignoresRanges) {
      [start, end] = [Number(range[1]), Math.min(range[2] ? Number(range[2]) + 1 : bytes.length, bytes.length)];
      if (start >= bytes.length) return response.writeHead(416).end();
      response.writeHead(206, { ...TYPE, 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}`, 'Content-Length': end - start });
    } else {
      response.writeHead(200, { ...TYPE, 'Content-Length': bytes.length });
    }
    const lost = loses(asked.length);
    if (lost === undefined) return response.end(bytes.subarray(start, end));
    response.write(bytes.subarray(start, Math.min(start + lost, end)), () => setTimeout(() => response.destroy(), 20));
    return undefined;
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const root = `http://127.0.0.1:${server.address().port}${SERIES}`;
  return {
    asked,
    imageId: (instance, frame = 1) => `wadors:${root}/instances/${instance}/frames/${frame}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/**
 * A Cornerstone with a cache, and a loader that answers what it was given instead of a picture: `given`. `left` is what
 * was left to its own ways. `images` are functions from image id that say whether bytes do not decode.
 */
export function addLoading(cornerstone, { images = {}, volumes = {} } = {}) {
  const entries = new Map();
  const given = [];
  const left = [];
  const entry = (imageId) => entries.get(imageId) ?? entries.set(imageId, {}).get(imageId);
  Object.assign(cornerstone, {
    given,
    left,
    cache: {
      getVolume: (id) => volumes[id],
      getImageLoadObject: (imageId) => entries.get(imageId)?.loadObject,
      getImageQuality: (imageId) => entries.get(imageId)?.image?.imageQualityStatus,
      getImage(imageId, least = 1) {
        const image = entries.get(imageId)?.image;
        return image?.imageQualityStatus >= least ? image : undefined;
      },
      setPartialImage: (imageId, image) => (entry(imageId).image = image),
      async putImageLoadObject(imageId, loadObject) {
        entry(imageId).loadObject = loadObject;
        try {
          entry(imageId).image = await loadObject.promise;
        } catch (error) {
          entries.delete(imageId);
          throw error;
        }
      },
    },
    imageLoader: {
      async loadImage(imageId, { streamingData, retrieveOptions, ignoreCache, kind }) {
        const { encodedData, totalBytes, url, responseHeaders } = streamingData;
        const isWhole = totalBytes === encodedData.byteLength;
        given.push({ imageId, bytes: encodedData.slice(), isWhole, level: retrieveOptions.decodeLevel, ignoreCache, url, kind });
        if (!responseHeaders.get('content-type').includes(HTJ2K) || images[imageId]?.(encodedData)) throw new Error('does not decode');
        return { imageId, imageQualityStatus: isWhole ? 8 : 6, bytes: encodedData.slice() };
      },
    },
    ProgressiveRetrieveImages: {
      createProgressive: (configuration) => ({
        async loadImages(imageIds, listener) {
          left.push({ imageIds, configuration });
          imageIds.forEach((imageId) => listener.successCallback(imageId, { imageId, imageQualityStatus: 8 }));
        },
      }),
    },
  });
  return cornerstone;
}

/** A viewport or volume: what it is shown, in order. */
export function makeListener(more = {}) {
  const shown = [];
  return {
    shown,
    successCallback: (imageId, image) => shown.push({ imageId, quality: image.imageQualityStatus, bytes: image.bytes }),
    errorCallback: (imageId, _permanent, error) => shown.push({ imageId, error }),
    getLoaderImageOptions: () => ({ kind: 'of the listener' }),
    ...more,
  };
}
