// What a rendered piece of the page holds, and how a binding holds it.

/** @typedef {import("./store.js").Variable} Variable */

/** Everything to be undone when a rendered piece goes: listeners, watchers, variables, views. */
export class Scope {
  constructor() {
    this.abort = new AbortController();
    /** @type {(() => void)[]} */
    this.cleanups = [];
  }

  /** @param {() => void} cleanup */
  add(cleanup) {
    this.cleanups.push(cleanup);
  }

  dispose() {
    this.abort.abort();
    for (const cleanup of this.cleanups.splice(0).reverse()) cleanup();
  }
}

/**
 * Where a binding stands.
 * @typedef {Object} Context
 * @property {import("./store.js").Store} store
 * @property {import("./viewdefs.js").Viewdefs} viewdefs
 * @property {(root: ParentNode, context: Context) => void} bindTree
 * @property {Scope} scope
 * @property {number} parentId the variable that paths start from
 * @property {string} [namespace] of the nearest `ui-namespace`
 * @property {number} depth of views within views
 */

/** @type {WeakMap<Element, Map<string, Variable>>} */
const bound = new WeakMap();

/**
 * The variables bound to an element, by attribute.
 * @param {Element} element
 * @returns {ReadonlyMap<string, Variable>}
 */
export function variablesOf(element) {
  return bound.get(element) ?? new Map();
}

/**
 * Makes the variable of one attribute, for as long as the scope lives.
 * @param {Context} context
 * @param {Element} element
 * @param {string} attribute
 * @param {Record<string, string>} properties
 * @param {(value: any, variable: Variable) => void} [apply] called with each value the server sends
 * @returns {Variable}
 */
export function bindVariable(context, element, attribute, properties, apply) {
  const variable = context.store.create(context.parentId, properties);
  const refresh = () => {
    markErrors(element);
    if (variable.value !== undefined) apply?.(variable.value, variable);
  };
  const variables = bound.get(element) ?? new Map();
  bound.set(element, variables.set(attribute, variable));
  const unwatch = variable.watch(refresh);
  context.scope.add(() => {
    unwatch();
    variables.delete(attribute);
    context.store.release(variable);
  });
  refresh();
  return variable;
}

/**
 * Listens for as long as the scope lives.
 * @param {Context} context
 * @param {EventTarget} target
 * @param {string} type
 * @param {(event: any) => void} listener
 */
export function listen(context, target, type, listener) {
  target.addEventListener(type, listener, { signal: context.scope.abort.signal });
}

/** @param {Element} element */
function markErrors(element) {
  const text = [...variablesOf(element)]
    .filter(([, variable]) => variable.error)
    .map(([attribute, { initial, error }]) => `${attribute}="${initial.path}": ${error?.code}: ${error?.description}`)
    .join("\n");
  const before = element.getAttribute("ui-error");
  if (text === (before ?? "")) return;
  if (text) element.setAttribute("ui-error", text);
  else element.removeAttribute("ui-error");
  // The title is the author's if it was there before us.
  const title = element.getAttribute("title");
  if (text && (title === null || title === before)) element.setAttribute("title", text);
  else if (!text && title === before) element.removeAttribute("title");
}
