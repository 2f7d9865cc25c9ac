// The smallest Cornerstone3D viewer: ?study=…&series=…&instance=… shows frame 1 of that instance.
import * as cornerstone from '@cornerstonejs/core';
import * as loader from '@cornerstonejs/dicom-image-loader';

const query = new URLSearchParams(window.location.search);
const instance = new URL(
  `/dicomweb/studies/${query.get('study')}/series/${query.get('series')}/instances/${query.get('instance')}`,
  window.location.href,
).href;

await cornerstone.init();
loader.init({ maxWebWorkers: 1 });

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
