// ui-upload: files that a person picks, or drops, go to a method on the server.

import { variableProperties } from "./paths.js";
import { bindVariable, listen, setAttribute } from "./scope.js";

/** Bytes of a file that go at once. The next ones wait until the server has these. */
const PIECE = 48 << 10;

let last = 0;

/**
 * `ui-upload="path(_)"`, on `<input type="file">`, or on anything that files are dropped on.
 * @type {import("./scope.js").Family}
 */
export function bindUpload(element, text, context) {
  const variable = bindVariable(context, element, "ui-upload", variableProperties(text, { access: "action" }));
  let queue = Promise.resolve();
  /** @param {FileList} files */
  const take = (files) => {
    for (const file of [...files]) {
      queue = queue.then(() => send(file, variable, context.store, element)).catch((error) => console.error("[ui] a file could not be read", error));
    }
  };
  if (element.type === "file") {
    listen(context, element, "change", () => {
      take(element.files);
      element.value = ""; // so that the same file can be picked again
    });
    return;
  }
  listen(context, element, "dragover", (event) => event.preventDefault());
  listen(context, element, "drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
}

/**
 * @param {File} file @param {import("./variable.js").Variable} variable
 * @param {import("./store.js").Store} store @param {Element} element
 */
async function send(file, variable, store, element) {
  let number = ++last;
  const { name, size, type } = file;
  let [at, how] = [0, ""];
  do {
    setAttribute(element, "ui-uploading", `${size ? Math.floor((at / size) * 100) : 0}%`);
    const bytes = new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer());
    if (store.variables.get(variable.id) !== variable) break; // what took the file is gone
    const content = btoa(String.fromCharCode(...bytes));
    const answer = answered(variable, store, `${number}:${at + bytes.length}`);
    store.post("upload", { varId: variable.id, number, name, size, type, at, content }, true);
    how = await answer;
    if (how === "failed") break;
    at += bytes.length;
    if (how === "anew") [number, at] = [++last, 0];
  } while (at < size || how === "anew");
  setAttribute(element, "ui-uploading", null);
}

/**
 * What becomes of a piece: the server has it, or does not want it, or is another socket that has none of the file.
 * @param {import("./variable.js").Variable} variable @param {import("./store.js").Store} store @param {string} mark
 * @returns {Promise<"taken" | "failed" | "anew">}
 */
function answered(variable, store, mark) {
  variable.error = null; // if it fails again, the server says so again
  return new Promise((resolve) => {
    /** @param {"taken" | "failed" | "anew"} how */
    const end = (how) => {
      unwatch();
      store.resumed.delete(again);
      resolve(how);
    };
    const again = () => end("anew");
    store.resumed.add(again);
    const unwatch = variable.watch(() => {
      if (variable.error) end("failed");
      else if (variable.properties.uploaded === mark) end("taken");
      else if (!store.variables.has(variable.id)) end("failed");
    });
  });
}
