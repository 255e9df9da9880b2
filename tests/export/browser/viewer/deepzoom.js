// Shows a Deep Zoom image in OpenSeadragon, one pixel of the image on one of the page.
import OpenSeadragon from "openseadragon";

const canvas = document.querySelector("canvas");
const element = document.querySelector("#viewer");

const open = ({ url, width, height }) =>
  new Promise((resolve, reject) => {
    element.style.width = `${width}px`;
    element.style.height = `${height}px`;
    const viewer = OpenSeadragon({
      element,
      tileSources: url,
      drawer: "canvas",
      crossOriginPolicy: "Anonymous",
      showNavigationControl: false,
      animationTime: 0,
      imageSmoothingEnabled: false,
    });
    viewer.addHandler("open-failed", ({ message }) => reject(new Error(message)));
    viewer.addHandler("tile-load-failed", ({ message }) => reject(new Error(message)));
    viewer.addHandler("open", () => {
      const item = viewer.world.getItemAt(0);
      viewer.viewport.zoomTo(item.imageToViewportZoom(1), null, true);
      viewer.viewport.panTo(item.getBounds().getCenter(), true);
      const finish = () => {
        viewer.forceRedraw();
        requestAnimationFrame(() => resolve(viewer));
      };
      if (item.getFullyLoaded()) finish();
      else item.addOnceHandler("fully-loaded-change", finish);
    });
  });

// Shows an image of this width and height. Returns the drawing as a PNG, and the size that the
// reader understood.
window.show = async (view) => {
  const viewer = await open(view);
  const size = viewer.world.getItemAt(0).getContentSize();
  canvas.width = view.width;
  canvas.height = view.height;
  const { canvas: drawn } = viewer.drawer;
  canvas.getContext("2d").drawImage(drawn, 0, 0);
  viewer.destroy();
  return { png: canvas.toDataURL("image/png"), size: [size.y, size.x] };
};
