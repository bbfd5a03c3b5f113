// Answers questions about pictures from an exported folder by transformers.js, offline and greedily.
//
//   node ask.mjs < request.json > answers.json
//   request  {folder, max_new_tokens, questions: [{text, images: [path]}]}
//   answers  [{prompt_token_ids, token_ids, grids, pixel_values: base64 of float32}]

import { createRequire } from "node:module";
import { basename, dirname } from "node:path";
import { readFileSync } from "node:fs";

// require, unlike import, also looks into NODE_PATH.
const { AutoProcessor, Qwen2VLForConditionalGeneration, RawImage, cat, env, zeros } = createRequire(
  import.meta.url,
)("@huggingface/transformers");

const request = JSON.parse(readFileSync(0, "utf8"));
env.allowRemoteModels = false;
env.localModelPath = `${dirname(request.folder)}/`;
const name = basename(request.folder);
const processor = await AutoProcessor.from_pretrained(name);
const model = await Qwen2VLForConditionalGeneration.from_pretrained(name);
// Without pictures, positions jump by twice the prompt after the first token (docs/transformers-js.md).
const textOnly = model._get_text_only_rope_index;
model._get_text_only_rope_index = (ids, mask) => [textOnly(ids, mask)[0], zeros([ids.dims[0], 1])];

const answers = [];
for (const question of request.questions) answers.push(await answer(question));
await model.dispose();
console.log(JSON.stringify(answers));

async function answer({ text, images }) {
  const pictures = await Promise.all(images.map(prepare));
  const inputs = { ...processor.tokenizer(prompt(text, pictures)) };
  if (pictures.length) {
    inputs.pixel_values = cat(pictures.map((picture) => picture.pixel_values), 0);
    inputs.image_grid_thw = cat(pictures.map((picture) => picture.image_grid_thw), 0);
  }
  const output = await model.generate({ ...inputs, max_new_tokens: request.max_new_tokens, do_sample: false });
  const ids = output.tolist()[0].map(Number);
  const length = inputs.input_ids.dims[1];
  return {
    prompt_token_ids: ids.slice(0, length),
    token_ids: ids.slice(length),
    grids: pictures.map((picture) => picture.image_grid_thw.tolist()[0].map(Number)),
    pixel_values: pictures.length ? Buffer.from(inputs.pixel_values.data.buffer).toString("base64") : "",
  };
}

// Each picture by itself: given several, the image processor takes them for the frames of one video.
async function prepare(path) {
  return processor.image_processor(await RawImage.read(path));
}

function prompt(text, pictures) {
  const content = [...pictures.map(() => ({ type: "image" })), { type: "text", text }];
  const rendered = processor.apply_chat_template([{ role: "user", content }], { add_generation_prompt: true });
  const area = processor.image_processor.config.merge_size ** 2;
  const pad = "<|image_pad|>";
  const parts = rendered.split(pad);
  return parts.reduce((before, after, index) => {
    const [t, h, w] = pictures[index - 1].image_grid_thw.tolist()[0].map(Number);
    return before + pad.repeat((t * h * w) / area) + after;
  });
}
