// Runs on OHIF's page before OHIF: what its own page would set, and what the first picture needs early.
(function () {
  const script = document.currentScript;
  const folder = new URL('.', script.src);
  window.PUBLIC_URL = folder.pathname;
  window.browserImportFunction = (module) => import(module);

  // A link cannot preload a worker or what it loads. Both never change, so what is read once is in the cache when OHIF
  // asks for it. If one fails here, it fails again there, and OHIF says so.
  for (const name of script.dataset.early.split(' ').filter(Boolean)) {
    fetch(new URL(name, folder)).then((response) => response.arrayBuffer()).catch(() => {});
  }
})();
