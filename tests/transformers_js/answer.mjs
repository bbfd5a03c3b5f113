// Questions about pictures, answered greedily by transformers.js in Node or a browser, without a network.
//
//   request  {folder, max_new_tokens, device, questions: [{text, images: [path]}]}; device may be left out
//   answers  [{prompt_token_ids, token_ids, grids, pixel_values: base64 of float32}]

export async function answerAll(transformers, request, modelPath) {
  const { AutoProcessor, Qwen2VLForConditionalGeneration, env, zeros } = transformers;
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = modelPath;
  const name = request.folder.split(/[\\/]/).at(-1);
  const processor = await AutoProcessor.from_pretrained(name);
  const options = request.device ? { device: request.device } : {};
  const model = await Qwen2VLForConditionalGeneration.from_pretrained(name, options);
  // Without pictures, positions jump by twice the prompt after the first token (docs/transformers-js.md).
  const textOnly = model._get_text_only_rope_index;
  model._get_text_only_rope_index = (ids, mask) => [textOnly(ids, mask)[0], zeros([ids.dims[0], 1])];
  const loaded = { transformers, processor, model };
  const answers = [];
  for (const question of request.questions) {
    answers.push(await answer(loaded, question, request.max_new_tokens));
  }
  await model.dispose();
  return answers;
}

async function answer(loaded, { text, images }, count) {
  const { transformers, processor, model } = loaded;
  const pictures = await Promise.all(images.map((path) => prepare(loaded, path)));
  const inputs = { ...processor.tokenizer(prompt(processor, text, pictures)) };
  if (pictures.length) {
    inputs.pixel_values = transformers.cat(pictures.map((picture) => picture.pixel_values), 0);
    inputs.image_grid_thw = transformers.cat(pictures.map((picture) => picture.image_grid_thw), 0);
  }
  const output = await model.generate({ ...inputs, max_new_tokens: count, do_sample: false });
  const ids = output.tolist()[0].map(Number);
  const length = inputs.input_ids.dims[1];
  return {
    prompt_token_ids: ids.slice(0, length),
    token_ids: ids.slice(length),
    grids: pictures.map((picture) => picture.image_grid_thw.tolist()[0].map(Number)),
    pixel_values: pictures.length ? base64(inputs.pixel_values.data) : "",
  };
}

// Each picture by itself: given several, the image processor takes them for the frames of one video.
async function prepare({ transformers, processor }, path) {
  return processor.image_processor(await transformers.RawImage.read(path));
}

function prompt(processor, text, pictures) {
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

function base64(floats) {
  const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
