// The templates the server has sent, and the views that show them.

import { reviveScript } from "./code.js";
import { keepState } from "./keep.js";

/** `html` as it came. @typedef {{html: string, content: DocumentFragment, sheet?: CSSStyleSheet}} Viewdef */

export class Viewdefs {
  /** @type {Map<string, Viewdef>} */
  known = new Map();
  /** @type {Set<import("./view.js").View>} outer before inner */
  views = new Set();
  #changed = false;
  #composing = false;

  /** @param {(description: string) => void} reject tells the server of a template that is none */
  constructor(reject) {
    this.reject = reject;
    // A field in which an input method is composing a character must not be replaced.
    addEventListener("compositionstart", () => (this.#composing = true));
    addEventListener("compositionend", () => {
      this.#composing = false;
      queueMicrotask(() => this.refresh());
    });
  }

  /** Takes in what came on variable 1. @param {string} text JSON of `{key: html}`; null removes */
  receive(text) {
    for (const [key, html] of Object.entries(JSON.parse(text))) {
      if (html === null) this.#remove(key);
      else if (this.known.get(key)?.html !== html) this.#set(key, html); // a new socket is told all again
    }
  }

  /** Renders again what shows a changed viewdef, or has to show another one now. */
  refresh() {
    if (!this.#changed || this.#composing) return;
    this.#changed = false;
    keepState(document.body, () => {
      for (const view of [...this.views]) {
        if (this.views.has(view)) view.refresh(); // else it went with the one around it
      }
    });
  }

  /** The key to use, if any. @param {string} type @param {(string | undefined)[]} namespaces */
  lookup(type, ...namespaces) {
    return [...namespaces, "DEFAULT"].map((name) => `${type}.${name}`).find((key) => this.known.has(key));
  }

  /** @param {string} key one that is known */
  get(key) {
    return /** @type {Viewdef} */ (this.known.get(key));
  }

  /** @param {string} key @param {string} html */
  #set(key, html) {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    const [root, ...others] = holder.content.children;
    if (!(root instanceof HTMLTemplateElement) || others.length) {
      this.reject(`viewdef ${key}: needs one root element, a <template>`);
      return;
    }
    // A <style> becomes a sheet of the page: once and not per item, replaced when it changes, and
    // good under a Content-Security-Policy that forbids inline styles.
    const styles = [...root.content.querySelectorAll("style")];
    let sheet = this.known.get(key)?.sheet;
    if (styles.length && !sheet) {
      sheet = new CSSStyleSheet();
      document.adoptedStyleSheets.push(sheet);
    }
    for (const script of root.content.querySelectorAll("script")) reviveScript(script);
    sheet?.replaceSync(styles.map(({ textContent }) => textContent).join("\n"));
    for (const style of styles) style.remove();
    this.known.set(key, { html, content: root.content, sheet });
    this.#changed = true;
  }

  /** @param {string} key */
  #remove(key) {
    this.known.get(key)?.sheet?.replaceSync("");
    this.known.delete(key);
    this.#changed = true;
  }
}
