// One place in the application's objects, as the server numbers it and as this page shows it.

import { same } from "./plain.js";

/**
 * What the server has said of a variable.
 * @typedef {{value: any, properties: Record<string, any>, error: VariableError | null}} State
 * `frame` tells in which frame it came.
 * @typedef {{code: string, description: string, frame: number}} VariableError
 */

export class Variable {
  /** @type {Set<Variable>} */
  children = new Set();
  /** `undefined` until the server has sent one. @type {any} */
  value = undefined;
  /** @type {VariableError | null} */
  error = null;
  /** Written while offline. */
  unsent = false;
  /** What shows it. @type {Element | null} */
  element = null;
  /** Until the end of the frame that gave it another place: what the server has there. @type {State | null} */
  arriving = null;
  /** @type {Set<() => void>} */
  #watchers = new Set();

  /** @param {number} id @param {Variable | null} parent @param {Record<string, any>} initial as sent with `create` */
  constructor(id, parent, initial) {
    /** As the server knows it; changes when the variable changes places. */
    this.id = id;
    /** Never changes. */
    this.serial = id;
    this.parent = parent;
    this.initial = initial;
    /** @type {Record<string, any>} */
    this.properties = { ...initial };
    parent?.children.add(this);
  }

  get parentId() {
    return this.parent?.id ?? 0;
  }

  /** What those with the same parent differ in, if they differ. */
  get key() {
    return JSON.stringify(this.initial);
  }

  /** @param {() => void} watcher @returns {() => void} ends it */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  notify() {
    for (const watcher of [...this.#watchers]) {
      try {
        watcher();
      } catch (error) {
        console.error("[ui] a binding failed", error); // the others still get their values
      }
    }
  }

  /** Takes in what the server says, and tells the watchers if it is something new. @param {Partial<State>} change */
  become(change) {
    if (this.arriving) {
      Object.assign(this.arriving, change);
      return;
    }
    const old = { value: this.value, properties: this.properties, error: this.error };
    Object.assign(this, change);
    if (!same({ ...old, ...change }, old)) this.notify();
  }
}
