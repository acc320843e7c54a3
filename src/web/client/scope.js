// What has to be released when a rendered piece of the page goes.

/** @typedef {import("./variable.js").Variable} Variable */

/** What has to be undone when a rendered piece goes. */
export class Scope {
  abort = new AbortController();
  /** @type {(() => void)[]} */
  cleanups = [];

  dispose() {
    this.abort.abort();
    for (const cleanup of this.cleanups.splice(0).reverse()) cleanup();
  }
}

/**
 * Where a binding stands: paths start from `parent`, `depth` counts views within views.
 * @typedef {object} Context
 * @property {import("./store.js").Store} store
 * @property {import("./viewdefs.js").Viewdefs} viewdefs
 * @property {Scope} scope
 * @property {(root: ParentNode, context: Context) => void} bindTree
 * @property {(element: Element, context: Context) => void} bindElement
 * @property {Variable} parent
 * @property {string} [namespace]
 * @property {number} depth
 */

/**
 * What binds one attribute; `suffix` is the NAME of `ui-attr-NAME` and its like.
 * @typedef {(element: any, text: string, context: Context, suffix: string) => void} Family
 */

/** @type {WeakMap<Element, Map<string, Variable>>} */
const bound = new WeakMap();

/** The variables of an element, by attribute. @param {Element} element @returns {Map<string, Variable>} */
export function variablesOf(element) {
  return bound.get(element) ?? new Map();
}

/**
 * Makes the variable of one attribute, for as long as the scope lives.
 * @param {Context} context @param {Element} element @param {string} attribute
 * @param {Record<string, any>} properties @param {(variable: Variable) => void} [apply] whenever there is a value
 */
export function bindVariable({ store, scope, parent }, element, attribute, properties, apply) {
  const variable = store.create(parent, properties);
  variable.element = element;
  const variables = variablesOf(element).set(attribute, variable);
  bound.set(element, variables);
  if ("scrollOnOutput" in properties) scope.cleanups.push(scrollOnOutput(element));
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

/** Shows the element's end whenever something is added to it, as a terminal does. @param {Element} element */
function scrollOnOutput(element) {
  const observer = new MutationObserver(() => (element.scrollTop = element.scrollHeight));
  observer.observe(element, { childList: true, characterData: true, subtree: true });
  return () => observer.disconnect();
}

/**
 * Listens for as long as the scope lives.
 * @param {Context} context @param {EventTarget} target @param {string} type @param {(event: any) => void} listener
 */
export function listen({ scope }, target, type, listener) {
  target.addEventListener(type, listener, { signal: scope.abort.signal });
}

/** @param {Element} element @param {Map<string, Variable>} variables */
function markErrors(element, variables) {
  const text = [...variables].filter(([, { error }]) => error)
    .map(([name, { initial, error }]) => `${name}="${initial.path}": ${error?.code}: ${error?.description}`)
    .join("\n") || null;
  const before = element.getAttribute("ui-error");
  if (element.getAttribute("title") === before) setAttribute(element, "title", text); // else it is the author's
  setAttribute(element, "ui-error", text);
}

/** null removes it. @param {Element} element @param {string} name @param {string | null} text */
export function setAttribute(element, name, text) {
  if (text === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}
