// The templates the server has sent, and the views that show them.

/**
 * @typedef {{content: DocumentFragment, sheet: CSSStyleSheet | null}} Viewdef
 */

export class Viewdefs {
  /** @param {(description: string) => void} reject tells the server of a template that is none */
  constructor(reject) {
    this.reject = reject;
    /** @type {Map<string, Viewdef>} */
    this.known = new Map();
    /** @type {Set<import("./view.js").View>} outer before inner */
    this.views = new Set();
    /** @type {Set<string>} */
    this.changed = new Set();
  }

  /**
   * Takes in what came on variable 1.
   * @param {string} text JSON of `{key: html}`; null removes
   */
  receive(text) {
    for (const [key, html] of Object.entries(JSON.parse(text))) {
      if (html === null) this.#remove(key);
      else this.#set(key, html);
      this.changed.add(key);
    }
  }

  /** Renders again what shows a changed viewdef, or now finds a better or another one. */
  refresh() {
    if (!this.changed.size) return;
    const { changed } = this;
    this.changed = new Set();
    for (const view of [...this.views]) {
      if (this.views.has(view)) view.refresh(changed); // else it went with the one around it
    }
  }

  /**
   * @param {string | undefined} type
   * @param {string} [namespace]
   * @param {string} [fallbackNamespace]
   * @returns {string | null} the key of the viewdef to use
   */
  lookup(type, namespace, fallbackNamespace) {
    const names = [namespace, fallbackNamespace, "DEFAULT"].filter(Boolean);
    return names.map((name) => `${type}.${name}`).find((key) => this.known.has(key)) ?? null;
  }

  /** @param {string} key @returns {DocumentFragment} */
  instantiate(key) {
    const viewdef = this.known.get(key);
    return viewdef ? document.importNode(viewdef.content, true) : document.createDocumentFragment();
  }

  clear() {
    for (const key of [...this.known.keys()]) this.#remove(key);
    this.changed.clear();
  }

  /** @param {string} key @param {string} html */
  #set(key, html) {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    const roots = holder.content.children;
    if (roots.length !== 1 || !(roots[0] instanceof HTMLTemplateElement)) {
      this.reject(`viewdef ${key}: has to have one root element, a <template>`);
      return;
    }
    const { content } = roots[0];
    // A <style> becomes a sheet of the page: once and not per item, replaced as it changes, and
    // good under a Content-Security-Policy that forbids inline styles.
    const css = [...content.querySelectorAll("style")].map((style) => {
      style.remove();
      return style.textContent;
    }).join("\n");
    let sheet = this.known.get(key)?.sheet ?? null;
    if (css && !sheet) {
      sheet = new CSSStyleSheet();
      document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    }
    sheet?.replaceSync(css);
    this.known.set(key, { content, sheet });
  }

  /** @param {string} key */
  #remove(key) {
    const sheet = this.known.get(key)?.sheet;
    if (sheet) document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    this.known.delete(key);
  }
}
