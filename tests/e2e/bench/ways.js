// How a viewer may load frames: its own ways, and hand-made ranges to compare with.

const STACK = 'stack';
const HALVED = { framesPath: '/reduced/2/frames/', decodeLevel: 0, imageQualityStatus: 6 };

/** What Cornerstone3D and OHIF offer: `stages` and `retrieveOptions` for stacks and volumes. */
function configure({ utilities }, stack, volume) {
  utilities.imageRetrieveMetadataProvider.add(STACK, stack);
  if (volume) utilities.imageRetrieveMetadataProvider.add('volume', volume);
}

const sequence = (first, rest) => ({
  stages: [{ id: 'first', retrieveType: 'first' }, { id: 'rest', retrieveType: 'rest' }],
  retrieveOptions: { first, rest, default: {} },
});

export const ways = {
  /** Cornerstone3D without a configuration: each frame whole. */
  whole() {},

  /** OHIF's setting for stacks, and for volumes what it fixes: whole frames, interleaved. */
  ohif(cornerstone) {
    const { interleavedRetrieveStages } = cornerstone.ProgressiveRetrieveImages;
    const stack = { stages: [{ id: 'one', retrieveType: 'single' }], retrieveOptions: { single: { streaming: true } } };
    configure(cornerstone, stack, interleavedRetrieveStages);
  },

  /** Cornerstone3D's default range, then the rest. */
  range(cornerstone) {
    const fast = { rangeIndex: 0, decodeLevel: 3 };
    const { interleavedRetrieveStages } = cornerstone.ProgressiveRetrieveImages;
    const options = { multipleFast: fast, multipleFinal: { rangeIndex: -1 }, default: { ...fast } };
    configure(cornerstone, sequence(fast, { rangeIndex: -1 }), { ...interleavedRetrieveStages, retrieveOptions: options });
  },

  /** The variant halved twice, then whole frames. */
  reduced(cornerstone) {
    const { interleavedRetrieveStages } = cornerstone.ProgressiveRetrieveImages;
    const options = { multipleFast: HALVED, default: HALVED, multipleFinal: {} };
    configure(cornerstone, sequence(HALVED, {}), { ...interleavedRetrieveStages, retrieveOptions: options });
  },

  /**
   * Cornerstone's own loader, told for each image where to cut. Of a stack the first range is the smallest with a quarter
   * of the columns that are seen; of a volume every other slice comes at level 2 first, then the rest.
   */
  async hand(cornerstone, { series }) {
    const { groups } = await (await fetch(`${series}/frame-index`)).json();
    const rows = new Map(groups.flatMap(({ levels, instances }) => Object.entries(instances).map(([uid, [row]]) => [uid, { row, levels }])));
    const { createProgressive } = cornerstone.ProgressiveRetrieveImages;
    const options = (imageId) => {
      const { row, levels } = rows.get(/instances\/([^/]+)/.exec(imageId)[1]);
      const end = row[levels.findIndex(({ decodeLevel }) => decodeLevel === 2)];
      return { first: { rangeIndex: 0, chunkSize: end, initialChunkSize: end, decodeLevel: 2 }, rest: { rangeIndex: -1, chunkSize: end, initialChunkSize: end } };
    };
    const [{ row: [...ends], levels }] = rows.values();
    const cut = levels.findIndex(({ width, height }) => 4 * width >= Math.min(window.innerWidth, (window.innerHeight * width) / height));
    const ranges = { chunkSize: ends[cut], initialChunkSize: ends[cut] };
    const stack = sequence({ ...ranges, rangeIndex: 0, decodeLevel: levels[cut]?.decodeLevel }, { ...ranges, rangeIndex: -1 });
    const near = [{ offset: -1, imageQualityStatus: 3 }, { offset: 1, imageQualityStatus: 3 }];
    const create = () => ({
      loadImages(imageIds, listener) {
        const loads = imageIds.map((imageId, index) => {
          const even = index % 2 === 0;
          const stages = [{ id: 'rest', retrieveType: even ? 'rest' : 'whole', priority: 9, requestType: 'thumbnail' }];
          if (even) stages.unshift({ id: 'first', retrieveType: 'first', priority: 1, requestType: 'thumbnail' });
          const retrieveOptions = { ...options(imageId), whole: {} };
          const fill = {
            ...bind(listener),
            successCallback(id, image) {
              listener.successCallback(id, image);
              if (image.imageQualityStatus === 8) return;
              for (const { offset, imageQualityStatus } of near) {
                const target = imageIds[index + offset];
                if (!target || (cornerstone.cache.getImageQuality(target) ?? 0) >= imageQualityStatus) continue;
                const copy = { ...image, imageId: target, imageQualityStatus };
                cornerstone.cache.setPartialImage(target, copy);
                listener.successCallback(target, copy);
              }
            },
          };
          return createProgressive({ stages, retrieveOptions }).loadImages([imageId], fill);
        });
        return Promise.all(loads);
      },
    });
    configure(cornerstone, stack, { create });
  },
};

function bind(listener) {
  return {
    errorCallback: (...given) => listener.errorCallback(...given),
    getLoaderImageOptions: (imageId) => listener.getLoaderImageOptions(imageId),
  };
}
