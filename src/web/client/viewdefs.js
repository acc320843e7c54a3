// The templates the server has sent, and the views that show them.

export class Viewdefs {
  /** @type {Map<string, {content: DocumentFragment, sheet?: CSSStyleSheet}>} */
  known = new Map();
  /** @type {Set<import("./view.js").View>} outer before inner */
  views = new Set();
  changed = new Set();

  /** @param {(description: string) => void} reject tells the server of a template that is none */
  constructor(reject) {
    this.reject = reject;
  }

  /** Takes in what came on variable 1. @param {string} text JSON of `{key: html}`; null removes */
  receive(text) {
    for (const [key, html] of Object.entries(JSON.parse(text))) {
      if (html === null) this.#remove(key);
      else this.#set(key, html);
    }
  }

  /** Renders again what shows a changed viewdef, or has to show another one now. */
  refresh() {
    const { changed } = this;
    if (!changed.size) return;
    this.changed = new Set();
    for (const view of [...this.views]) {
      if (this.views.has(view)) view.refresh(changed); // else it went with the one around it
    }
  }

  /** The key to use, if any. @param {string} type @param {(string | undefined)[]} namespaces */
  lookup(type, ...namespaces) {
    return [...namespaces, "DEFAULT"].map((name) => `${type}.${name}`).find((key) => this.known.has(key));
  }

  instantiate(key) {
    return document.importNode(this.known.get(key).content, true);
  }

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
    sheet?.replaceSync(styles.map(({ textContent }) => textContent).join("\n"));
    for (const style of styles) style.remove();
    this.known.set(key, { content: root.content, sheet });
    this.changed.add(key);
  }

  #remove(key) {
    const sheet = this.known.get(key)?.sheet;
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    this.known.delete(key);
    this.changed.add(key);
  }
}
