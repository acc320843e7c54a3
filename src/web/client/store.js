// The variables of this page: what the server has sent, and what goes out to it.

import { Variable } from "./variable.js";

/** The application's variable, which is there from the start. */
export const ROOT = 1;

export class Store {
  /** @type {(json: string) => void} */
  onViewdefs = () => {};
  /** Called after each frame. @type {Set<() => void>} */
  frameEnds = new Set();
  /** Called when a new socket has been told of all variables. @type {Set<() => void>} */
  resumed = new Set();
  /** By type: for messages that are not about a variable. @type {Record<string, (data: any) => void>} */
  handlers = Object.create(null);
  root = new Variable(ROOT, null, {});
  /** By id, parents before their children. @type {Map<number, Variable>} */
  variables = new Map([[ROOT, this.root]]);
  #nextId = 2;
  #frame = 0;
  #flushing = false;
  #userEvent = false;
  /** @type {{type: string, data: any}[]} */
  #outgoing = [];
  /** Given up in this microtask, by key and parent. @type {Map<string, Variable[]>} */
  #released = new Map();
  /** @type {Set<Variable>} */
  #arriving = new Set();

  /** @param {(text: string) => boolean} transmit sends a frame; false when offline */
  constructor(transmit) {
    this.transmit = transmit;
  }

  /**
   * A new variable, or one like it released in this microtask: so a re-render keeps its own.
   * @param {Variable} parent @param {Record<string, any>} properties
   */
  create(parent, properties) {
    const again = this.#released.get(poolKey(parent, JSON.stringify(properties)))?.pop();
    if (again) return again;
    const variable = new Variable(this.#nextId++, parent, properties);
    this.#announce(variable);
    return variable;
  }

  /** Destroys a variable, unless somebody takes it up again in this microtask. @param {Variable} variable */
  release(variable) {
    if (!variable.parent || this.variables.get(variable.id) !== variable) return;
    const key = poolKey(variable.parent, variable.key);
    this.#released.set(key, [...(this.#released.get(key) ?? []), variable]);
    this.#schedule();
  }

  /** Writes what a person has done. @param {Variable} variable @param {any} value */
  update(variable, value) {
    if (variable.properties.access !== "action") variable.value = value;
    variable.error = null; // if it fails again, the server says so again
    this.post("update", { varId: variable.id, value }, true);
    variable.notify();
  }

  /**
   * Sends a message, with the others of this microtask.
   * @param {string} type @param {any} data @param {boolean} [byPerson] who waits for the answer
   */
  post(type, data, byPerson = false) {
    this.#userEvent ||= byPerson;
    this.#outgoing.push({ type, data });
    this.#schedule();
  }

  /** Takes in one frame of the server. @param {any} messages */
  receive(messages) {
    this.#frame++;
    for (const { type, data = {} } of [messages].flat()) this.#take(type, data);
    for (const variable of this.#arriving) {
      const { arriving } = variable;
      variable.arriving = null;
      if (arriving) variable.become(arriving);
    }
    this.#arriving.clear();
    for (const atEnd of [...this.frameEnds]) atEnd();
  }

  /**
   * Gives a variable a place in the list, within the frame that says so: what else the frame says of
   * that place is meant for it.
   * @param {Variable} variable @param {import("./places.js").Place} place
   */
  settle(variable, { id, initial, state }) {
    Object.assign(variable, { id, initial, arriving: { ...state } });
    this.#arriving.add(variable);
    this.variables.set(id, variable);
  }

  /** Makes a variable anew on the server, under what is its parent now. @param {Variable} variable */
  renew(variable) {
    variable.id = this.#nextId++;
    this.#announce(variable);
    for (const child of variable.children) this.renew(child);
  }

  /** Nobody stands there any more. @param {number} id */
  abandon(id) {
    this.variables.delete(id);
    this.post("destroy", { varId: id });
  }

  /** Sends all variables to the server of a new socket, parents first. */
  resume() {
    this.#takeReleased();
    this.#outgoing = [];
    this.post("watch", { varId: ROOT });
    const [, ...variables] = this.variables.values();
    for (const variable of variables) this.#announce(variable);
    for (const variable of variables.filter(({ unsent }) => unsent)) {
      variable.unsent = false;
      this.update(variable, variable.value);
    }
    for (const then of [...this.resumed]) then();
  }

  /** @param {string} type @param {any} data */
  #take(type, data) {
    const variable = this.variables.get(data.varId);
    if (type === "update") {
      if (variable) this.#updated(variable, data);
    } else if (type === "error") {
      this.#warn(data, variable);
      variable?.become({ error: { ...data, frame: this.#frame } });
    } else if (type === "destroy") {
      if (!variable || variable === this.root) return;
      this.#forget(variable);
      variable.become({ value: null });
    } else {
      this.handlers[type]?.(data);
    }
  }

  /**
   * Once the page is as the frame wants it: what a new template no longer shows may fail, and nobody cares.
   * @param {any} data @param {Variable} [variable]
   */
  #warn({ code, description }, variable) {
    const text = `[ui] ${code}: ${description}`;
    // The first microtask comes before those that let go of what nobody took up again; the next one after.
    queueMicrotask(() => queueMicrotask(() => {
      if (!variable) console.warn(text);
      else if (this.variables.get(variable.id) === variable) console.warn(text, variable.initial.path ?? "");
    }));
  }

  /** @param {Variable} variable @param {any} data */
  #updated(variable, data) {
    const before = variable.arriving ?? variable;
    const properties = { ...before.properties };
    for (const [name, value] of Object.entries(data.properties ?? {})) {
      const key = name.replace(/:(high|med|low)$/, "");
      if (variable === this.root && key === "viewdefs") this.onViewdefs(value);
      else if (value === null) delete properties[key];
      else properties[key] = value;
    }
    const value = "value" in data ? data.value : before.value;
    // A failed path comes as an error and a null, in either order: that null is no recovery.
    const error = before.error?.frame === this.#frame ? before.error : null;
    variable.become({ value, properties, error });
  }

  /** @param {Variable} variable */
  #announce(variable) {
    const { id, parentId, initial, value } = variable;
    this.variables.set(id, variable);
    // Once there is a value, the object of `create` has been made: another would take its place.
    this.post("create", { id, parentId, properties: value === undefined ? initial : { ...initial, create: undefined } });
  }

  #schedule() {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      const destroys = this.#takeReleased().map((varId) => ({ type: "destroy", data: { varId } }));
      const batch = { userEvent: this.#userEvent, messages: [...this.#outgoing, ...destroys] };
      this.#outgoing = [];
      this.#userEvent = false;
      if (!batch.messages.length || this.transmit(JSON.stringify(batch))) return;
      // Offline. Creates come with `resume`; what was typed is kept; a late click would surprise.
      for (const { type, data } of batch.messages) {
        const variable = this.variables.get(data.varId);
        if (variable && type === "update") variable.unsent = variable.properties.access !== "action";
      }
    });
  }

  /** Removes what nobody took up again. @returns the topmost ids: the server does those below */
  #takeReleased() {
    const gone = [...this.#released.values()].flat();
    this.#released.clear();
    for (const variable of gone) this.#forget(variable);
    return gone.filter(({ parentId }) => this.variables.has(parentId)).map(({ id }) => id);
  }

  /** @param {Variable} variable */
  #forget(variable) {
    this.variables.delete(variable.id);
    variable.parent?.children.delete(variable);
  }
}

/** @param {Variable} parent @param {string} key */
function poolKey(parent, key) {
  return parent.serial + key;
}
