// Fakes at the seams of stillframe.js: Cornerstone's registry of metadata providers, a viewport, OHIF's managers, a web.

const STUDY = 'https://archive.example/dicomweb/studies/1.2/series/1.2.3';

export function imageId(frame = 1, instance = '1.2.3.4') {
  return `wadors:${STUDY}/instances/${instance}/frames/${frame}`;
}

/** Cornerstone's registry: the provider of the highest priority that answers wins, each query is a call of its own. */
export function makeCornerstone(modules = {}) {
  const providers = [];
  const rendered = [];
  const viewports = new Map();
  const metaData = {
    addProvider(provider, priority = 0) {
      providers.push({ provider, priority });
      providers.sort((one, other) => other.priority - one.priority);
    },
    removeProvider(provider) {
      providers.splice(providers.findIndex((one) => one.provider === provider), 1);
    },
    get(type, ...queries) {
      for (const query of queries) {
        for (const { provider } of providers) {
          const answer = provider(type, query);
          if (answer !== undefined) return answer;
        }
      }
      return undefined;
    },
  };
  metaData.addProvider((type, query) => {
    if (!Object.hasOwn(modules, type)) return undefined;
    return typeof modules[type] === 'function' ? modules[type](query) : modules[type];
  }, 10_000);
  return {
    metaData,
    providers,
    rendered,
    viewports,
    Enums: { Events: { STACK_NEW_IMAGE: 'CORNERSTONE_STACK_NEW_IMAGE' } },
    getRenderingEngines: () => [{ render: () => rendered.push('all') }],
    getRenderingEngine: () => ({ getViewport: (id) => viewports.get(id) }),
  };
}

/**
 * Cornerstone's manager of workers. A task of `decodeTask` answers what the test gives its `end`; `tasks` are all there
 * were, in order, each with the number of its worker. `ended` are the numbers of the workers that were terminated.
 */
export function makeWorkerManager(name, count = 1) {
  const tasks = [];
  const ended = [];
  let started = 0;
  const startWorker = () => {
    const number = started++;
    return { number, terminate: () => ended.push(number) };
  };
  const wrap = ({ number }) => ({
    decodeTask: (task, ...more) =>
      new Promise((end, fail) => tasks.push({ number, task, more, end, fail })),
    otherTask: () => number,
  });
  const manager = {
    workerRegistry: {},
    registerWorker(kind, workerFn, { maxWorkerInstances = 1, overwrite = false } = {}) {
      if (this.workerRegistry[kind] && !overwrite) return;
      const nativeWorkers = [...Array(maxWorkerInstances)].map(workerFn);
      const loadCounters = nativeWorkers.map(() => 0);
      this.workerRegistry[kind] = { workerFn, nativeWorkers, instances: nativeWorkers.map(wrap), loadCounters };
    },
    getNextWorkerAPI(kind) {
      const { instances, loadCounters } = this.workerRegistry[kind] ?? {};
      if (!instances) return null;
      const index = loadCounters.indexOf(Math.min(...loadCounters));
      loadCounters[index] += 1;
      return { api: instances[index], index };
    },
    async executeTask(kind, method, ...given) {
      const { api, index } = this.getNextWorkerAPI(kind);
      try {
        return await api[method](...given);
      } finally {
        this.workerRegistry[kind].loadCounters[index] -= 1;
      }
    },
  };
  manager.registerWorker(name, startWorker, { maxWorkerInstances: count });
  return { manager, tasks, ended };
}

/** `fetch` over a table from URL to body (a Uint8Array, or what becomes JSON); what was asked for is kept. */
export function makeWeb(bodies) {
  const asked = [];
  const fetch = async (url) => {
    asked.push(String(url));
    const body = bodies[String(url)];
    if (body === undefined) return { ok: false, status: 404 };
    return { ok: true, status: 200, json: async () => body, arrayBuffer: async () => body.buffer };
  };
  return { asked, fetch };
}

export function seriesURL(path) {
  return `${STUDY}/${path}`;
}

/** OHIF's managers, as far as an extension's hooks see them. */
export function makeOhif(cornerstone) {
  const made = [];
  const handler = (name, sopClassUids) => ({
    sopClassUids,
    getDisplaySetsFromSeries: (instances) => {
      made.push([name, ...instances.map(({ SOPInstanceUID }) => SOPInstanceUID)]);
      return [{ unsupported: name === 'unsupported', Modality: instances[0].Modality }];
    },
  });
  const entries = {
    '@ohif/extension-cornerstone.utilityModule.common': {
      exports: { getCornerstoneLibraries: () => ({ cornerstone }) },
    },
    '@ohif/extension-dicom-video.sopClassHandlerModule.dicom-video': handler('video', ['1.7', '1.77']),
    '@ohif/extension-default.sopClassHandlerModule.stack': handler('stack', ['1.2', '1.7', '1.77']),
    '@ohif/extension-default.sopClassHandlerModule.not-supported-display-sets-handler': handler('unsupported', []),
    'some.sopClassHandlerModule.reports': handler('report', ['1.88']),
  };
  const active = [];
  const listeners = new Set();
  const shown = [];
  const strategies = { nth: ({ data }) => `OHIF loads ${data.viewportId}` };
  const displaySetService = {
    EVENTS: { DISPLAY_SETS_ADDED: 'added' },
    SOPClassHandlerIds: Object.keys(entries).filter((id) => /video|stack|reports/.test(id)),
    getActiveDisplaySets: () => active,
    subscribe(_event, listener) {
      listeners.add(listener);
      return { unsubscribe: () => listeners.delete(listener) };
    },
    add(...sets) {
      active.push(...sets);
      listeners.forEach((listener) => listener());
    },
  };
  return {
    made,
    shown,
    listeners,
    strategies,
    displaySetService,
    entry: (part) => entries[Object.keys(entries).find((id) => id.includes(part))],
    context: {
      extensionManager: { getModuleEntry: (id) => entries[id] },
      servicesManager: {
        services: {
          displaySetService,
          hangingProtocolService: { registeredImageLoadStrategies: strategies },
          uiNotificationService: { show: (one) => shown.push(one) },
        },
      },
    },
  };
}
