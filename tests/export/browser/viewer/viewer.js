// Draws a level of an OME-Zarr image on the canvas of the page, with a reader from npm.
import { NgffImage } from "ome-zarr.js";

const canvas = document.querySelector("canvas");
// Shows values up to 255 as they are
const VALUES = { channels: [{ active: true, color: "FFFFFF", window: { start: 0, end: 255 } }] };

const render = (image, level, slices, omero) =>
  image.renderRgba({ arrayPathOrIndex: level, slices, omero, maxSize: Infinity });

// The values of a label in the colours that its metadata name; those without colour stay clear
const renderLabel = async (url, level, slices) => {
  const label = await NgffImage.load(url);
  const { data, width } = await render(label, level, slices, VALUES);
  const { colors } = label.imgAttrs["image-label"];
  const rgba = new Map(colors.map((color) => [color["label-value"], color.rgba]));
  const pixels = new Uint8ClampedArray(data.length);
  for (let offset = 0; offset < data.length; offset += 4) {
    pixels.set(rgba.get(data[offset]) ?? [], offset);
  }
  return new ImageData(pixels, width);
};

// Draws the channels of the metadata where none are given, and over them a label where one is
// named. Returns the drawing as a PNG, and what the reader understood of the metadata.
window.show = async ({ url, level, slices = {}, channels, label }) => {
  const image = await NgffImage.load(url);
  const omero = channels && { channels };
  const { data, width, height } = await render(image, level, slices, omero);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  context.putImageData(new ImageData(data, width), 0, 0);
  if (label) {
    const layer = await renderLabel(`${url}/labels/${label}`, level, slices);
    context.drawImage(await createImageBitmap(layer), 0, 0);
  }
  return {
    png: canvas.toDataURL("image/png"),
    version: image.getVersion(),
    axes: image.axes,
    scales: image.getScales(),
  };
};
