// Scripts that the site wrote: in viewdefs, and as values (ui-code). Under a Content-Security-Policy
// they may run because they carry the nonce of the page; `new Function` would need 'unsafe-eval'.

import { variableProperties } from "./paths.js";
import { bindVariable } from "./scope.js";

/** A script that runs once it is on the page. */
function makeScript() {
  const script = document.createElement("script");
  const nonced = /** @type {HTMLElement | null} */ (document.querySelector("script[nonce]"));
  if (nonced) script.setAttribute("nonce", nonced.nonce ?? ""); // a copy gets the attribute, and not the property
  return script;
}

/** @param {HTMLScriptElement} dead came as markup, and so would never run */
export function reviveScript(dead) {
  const script = makeScript();
  for (const { name, value } of dead.attributes) script.setAttribute(name, value);
  script.text = dead.text;
  dead.replaceWith(script);
}

/**
 * `ui-code="path"`: the value is JavaScript, run whenever it changes, with `element`, `value`, `variable` and
 * `store` in scope.
 * @type {import("./scope.js").Family}
 */
export function bindCode(element, text, context) {
  const { store, scope } = context;
  /** @type {any} */
  let ran;
  bindVariable(context, element, "ui-code", variableProperties(text, { access: "r" }), (variable) => {
    const { value } = variable;
    if (value === ran) return;
    ran = value;
    if (typeof value !== "string" || !value) return;
    // In a microtask, when the element is on the page.
    queueMicrotask(() => {
      if (!scope.abort.signal.aborted) compile(value)?.(element, value, variable, store);
    });
  });
}

/**
 * @param {string} code
 * @returns {((...values: any[]) => void) | undefined} nothing if it cannot be parsed; the browser says why
 */
function compile(code) {
  const script = makeScript();
  const page = /** @type {any} */ (window);
  script.text = `window.uiCode = function (element, value, variable, store) {\n${code}\n};`;
  document.head.append(script); // runs at once
  script.remove();
  const compiled = page.uiCode;
  delete page.uiCode;
  return compiled;
}
