// What a rendered piece of the page holds, and how a binding holds it.

/** @typedef {import("./store.js").Variable} Variable */

/** What has to be undone when a rendered piece goes. */
export class Scope {
  abort = new AbortController();
  cleanups = [];

  dispose() {
    this.abort.abort();
    for (const cleanup of this.cleanups.splice(0).reverse()) cleanup();
  }
}

/**
 * Where a binding stands: paths start from `parentId`, `depth` counts views within views.
 * @typedef {{store: import("./store.js").Store, viewdefs: import("./viewdefs.js").Viewdefs, scope: Scope,
 *   bindTree: Function, parentId: number, namespace?: string, depth: number}} Context
 * What binds one attribute; `suffix` is the NAME of `ui-attr-NAME` and its like.
 * @typedef {(element: any, text: string, context: Context, suffix: string) => void} Family
 */

const bound = new WeakMap();

/** The variables of an element, by attribute. @param {Element} element */
export function variablesOf(element) {
  return bound.get(element) ?? new Map();
}

/**
 * Makes the variable of one attribute, for as long as the scope lives.
 * @param {Context} context @param {Element} element @param {string} attribute
 * @param {object} properties @param {(variable: Variable) => void} [apply] whenever there is a value
 */
export function bindVariable({ store, scope, parentId }, element, attribute, properties, apply) {
  const variable = store.create(parentId, properties);
  const variables = variablesOf(element).set(attribute, variable);
  bound.set(element, variables);
  const refresh = () => {
    markErrors(element, variables);
    if (variable.value !== undefined) apply?.(variable);
  };
  const unwatch = variable.watch(refresh);
  scope.cleanups.push(() => {
    unwatch();
    store.release(variable);
  });
  refresh();
  return variable;
}

/** Listens for as long as the scope lives. */
export function listen({ scope }, target, type, listener) {
  target.addEventListener(type, listener, { signal: scope.abort.signal });
}

function markErrors(element, variables) {
  const text = [...variables].filter(([, { error }]) => error)
    .map(([name, { initial, error }]) => `${name}="${initial.path}": ${error.code}: ${error.description}`)
    .join("\n");
  const before = element.getAttribute("ui-error") ?? "";
  if (text === before) return;
  if ((element.getAttribute("title") ?? "") === before) setAttribute(element, "title", text || null); // else the author's
  setAttribute(element, "ui-error", text || null);
}

/** null removes it. @param {Element} element @param {string} name @param {string | null} text */
export function setAttribute(element, name, text) {
  if (text === null) element.removeAttribute(name);
  else element.setAttribute(name, text);
}
