// What docs/transformers-js.md says of transformers.js 4.3.1, shown by its own functions.
//
//   node known_faults.mjs FOLDER     prints {text_delta, stacked_grid, stacked_patches}

import { createRequire } from "node:module";
import { basename, dirname } from "node:path";

const { AutoProcessor, Qwen2VLForConditionalGeneration, RawImage, Tensor, env } = createRequire(import.meta.url)(
  "@huggingface/transformers",
);

const folder = process.argv[2];
env.allowRemoteModels = false;
env.localModelPath = `${dirname(folder)}/`;
const model = await Qwen2VLForConditionalGeneration.from_pretrained(basename(folder));
const processor = await AutoProcessor.from_pretrained(basename(folder));

const [ids, mask] = [[5n, 6n, 7n], [1n, 1n, 1n]].map((values) => new Tensor("int64", values, [1, 3]));
const [, delta] = model.get_rope_index(ids, null, null, mask);

const side = 84;
const [black, white] = [0, 255].map(
  (level) => new RawImage(new Uint8ClampedArray(side * side * 3).fill(level), side, side, 3),
);
const stacked = await processor.image_processor([black, white]);
await model.dispose();

console.log(
  JSON.stringify({
    text_delta: Number(delta.tolist()[0][0]),
    stacked_grid: stacked.image_grid_thw.tolist().map((grid) => grid.map(Number)),
    stacked_patches: stacked.pixel_values.dims[0],
  }),
);
