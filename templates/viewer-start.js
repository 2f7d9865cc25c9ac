// Runs on OHIF's page before OHIF: what its own page would set, and what the first picture needs early.
(function () {
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
    document.head.append(Object.assign(document.createElement('script'), { src: application.href }));
  });

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
