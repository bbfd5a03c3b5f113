// Answers questions about pictures from an exported folder by transformers.js, in Node, offline and greedily.
//
//   node ask.mjs < request.json > answers.json      what they hold: answer.mjs

import { createRequire } from "node:module";
import { dirname } from "node:path";
import { readFileSync } from "node:fs";
import { answerAll } from "./answer.mjs";

// require, unlike import, also looks into NODE_PATH.
const transformers = createRequire(import.meta.url)("@huggingface/transformers");
const request = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(await answerAll(transformers, request, `${dirname(request.folder)}/`)));
