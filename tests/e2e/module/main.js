// A Cornerstone3D page with the browser module: ?study=…&series=…&instance=… shows frame 1 of that instance.
import * as cornerstone from '@cornerstonejs/core';
import * as loader from '@cornerstonejs/dicom-image-loader';

const query = new URLSearchParams(window.location.search);
const path = `studies/${query.get('study')}/series/${query.get('series')}/instances/${query.get('instance')}`;
const instance = new URL(`/dicomweb/${path}`, window.location.href).href;

await cornerstone.init();
loader.init({ maxWebWorkers: 1 });
if (!query.has('off')) {
  const { install } = await import(/* @vite-ignore */ new URL('/stillframe.js', window.location.href).href);
  install(cornerstone, { metadata: (imageId) => loader.wadors.metaDataManager.get(imageId) });
}

const [metadata] = await (await fetch(`${instance}/metadata`)).json();
const imageId = `wadors:${instance}/frames/1`;
loader.wadors.metaDataManager.add(imageId, metadata);

const engine = new cornerstone.RenderingEngine('engine');
engine.enableElement({
  viewportId: 'viewport',
  element: document.getElementById('viewport'),
  type: cornerstone.Enums.ViewportType.STACK,
});
window.cornerstone = cornerstone;
await engine.getViewport('viewport').setStack([imageId]);
engine.getViewport('viewport').render();
