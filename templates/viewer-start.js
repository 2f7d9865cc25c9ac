// Runs on OHIF's page before OHIF: what its own page would set, and what the first picture needs early.
(function () {
  const QUIET_MS = 1000;
  const { src, dataset } = document.currentScript;
  const folder = new URL('.', src);
  window.PUBLIC_URL = folder.pathname;
  window.browserImportFunction = (module) => import(module);

  // The application has the line to itself. What it will ask for follows before it starts, which takes a second.
  const application = document.getElementById('application');
  const arrived = new Promise((resolve) => {
    for (const event of ['load', 'error']) application.addEventListener(event, resolve);
    if (performance.getEntriesByName(application.href).some((entry) => entry.responseEnd > 0)) resolve();
  });
  const configured = new Promise((resolve) => document.addEventListener('DOMContentLoaded', resolve));
  Promise.all([arrived, configured]).then(() => {
    fetchNext();
    run(application.href);
    const [entry] = performance.getEntriesByName(application.href);
    if (entry?.transferSize) whenQuiet(runAgain); // not if it was in the cache
  });

  function run(src) {
    return new Promise((resolve) => {
      const script = Object.assign(document.createElement('script'), { src, async: false });
      script.onload = script.onerror = () => resolve(script.remove());
      document.head.append(script);
    });
  }

  // Chromium keeps the compiled code of a script that it runs a second time. So what ran for the first time runs again,
  // to no effect, and what is compiled by now is kept for the next study.
  async function runAgain() {
    await Promise.all(names(dataset.again).map((name) => run(new URL(name, folder).href)));
    performance.mark('stillframe-ran-again');
  }

  // An image has come, and the line and the processor rest.
  function whenQuiet(act) {
    let timer = 0;
    const observer = new PerformanceObserver((entries) => {
      if (!timer && !entries.getEntries().some(({ name }) => /\/(?:frames\/\d+|rendered)(?:\?|$)/.test(name))) return;
      clearTimeout(timer);
      timer = setTimeout(() => {
        observer.disconnect();
        (window.requestIdleCallback ?? setTimeout)(act);
      }, QUIET_MS);
    });
    observer.observe({ type: 'resource', buffered: true });
  }

  function fetchNext() {
    for (const name of names(dataset.next)) {
      const as = name.endsWith('.css') ? 'style' : 'script';
      document.head.append(Object.assign(document.createElement('link'), { rel: 'preload', as, href: new URL(name, folder) }));
    }
    // A link cannot preload a worker or what that loads. Neither ever changes, so what was read once is in the cache when
    // OHIF asks for it. If one fails here, it fails again there, and OHIF says so.
    for (const name of names(dataset.early)) {
      fetch(new URL(name, folder), { priority: 'low' }).then((response) => response.arrayBuffer()).catch(() => {});
    }
  }

  function names(list) {
    return list.split(' ').filter(Boolean);
  }
})();
