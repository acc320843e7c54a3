// The variables of this page: what the server sent, who wants to know, and what goes out.

/** The application's variable, which is there from the start. */
export const ROOT = 1;

/** @typedef {Record<string, string | undefined>} Properties */

/** One variable. Its value is `undefined` until the server has sent one. */
export class Variable {
  /** @param {number} id @param {number} parentId @param {Properties} initial as sent with `create` */
  constructor(id, parentId, initial) {
    this.id = id;
    this.parentId = parentId;
    this.initial = initial;
    this.properties = { ...initial };
    this.value = /** @type {any} */ (undefined);
    /** @type {{code: string, description: string, frame: number} | null} */
    this.error = null;
    /** @type {Set<() => void>} */
    this.watchers = new Set();
    /** Written while offline, and not sent yet. */
    this.unsent = false;
  }

  /** @param {() => void} watcher of value, properties and error @returns {() => void} ends it */
  watch(watcher) {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  notify() {
    for (const watcher of [...this.watchers]) {
      try {
        watcher();
      } catch (error) {
        console.error("[ui] a binding failed", error); // the others still get their values
      }
    }
  }
}

export class Store {
  /** @type {(text: string) => void} takes the JSON text of new viewdefs */
  onViewdefs = () => {};
  onFrameEnd = () => {};
  /** @type {Record<string, (data: any) => void>} by type: messages that are not about a variable */
  handlers = {};
  #nextId = 2;
  #frame = 0;
  #flushing = false;
  #userEvent = false;
  /** @type {{type: string, data: any}[]} */
  #outgoing = [];
  /** @type {Map<string, Variable[]>} given up in this microtask, and free to be taken again */
  #released = new Map();

  /** @param {(text: string) => boolean} transmit sends a frame; false when offline */
  constructor(transmit) {
    this.transmit = transmit;
    this.root = new Variable(ROOT, 0, {});
    /** @type {Map<number, Variable>} */
    this.variables = new Map([[ROOT, this.root]]);
  }

  /**
   * A variable below `parentId`. One like it that was released in this microtask is taken up
   * again: so a re-render keeps its variables.
   * @param {number} parentId
   * @param {Properties} properties
   */
  create(parentId, properties) {
    const again = this.#released.get(poolKey(parentId, properties))?.pop();
    if (again) return again;
    const variable = new Variable(this.#nextId++, parentId, properties);
    this.variables.set(variable.id, variable);
    this.post("create", creation(variable));
    return variable;
  }

  /** @param {Variable} variable is destroyed, unless somebody takes it up again in this microtask */
  release(variable) {
    if (this.variables.get(variable.id) !== variable) return;
    const key = poolKey(variable.parentId, variable.initial);
    this.#released.set(key, [...(this.#released.get(key) ?? []), variable]);
    this.#schedule();
  }

  /** Writes a variable, for the person at the page. @param {Variable} variable @param {any} value */
  update(variable, value) {
    if (variable.properties.access !== "action") variable.value = value;
    variable.error = null; // if it fails again, the server says so again
    this.#userEvent = true;
    this.post("update", { varId: variable.id, value });
    variable.notify();
  }

  /** Sends a message, with all others of this microtask. @param {string} type @param {any} data */
  post(type, data) {
    this.#outgoing.push({ type, data });
    this.#schedule();
  }

  /** Takes in one frame of the server. @param {any} messages */
  receive(messages) {
    this.#frame++;
    for (const { type, data } of [messages].flat()) {
      const variable = this.variables.get(data.varId);
      if (type === "update") {
        if (variable) this.#updated(variable, data);
      } else if (type === "error") {
        console.warn(`[ui] ${data.code}: ${data.description}`, variable?.initial.path ?? "");
        if (variable) variable.error = { ...data, frame: this.#frame };
        variable?.notify();
      } else if (type === "destroy") {
        if (!variable || variable === this.root) continue;
        this.variables.delete(variable.id);
        variable.value = null;
        variable.notify();
      } else {
        this.handlers[type]?.(data);
      }
    }
    this.onFrameEnd();
  }

  /** A new socket knows nothing: tells it all there is, parents (lower ids) first. */
  resume() {
    this.#takeReleased();
    this.#outgoing = [];
    this.post("watch", { varId: ROOT });
    const [, ...variables] = this.variables.values();
    for (const variable of variables) this.post("create", creation(variable));
    for (const variable of variables.filter(({ unsent }) => unsent)) {
      variable.unsent = false;
      this.update(variable, variable.value);
    }
  }

  /** Forgets everything but the root, without a word to the server: its state was replaced. */
  reset() {
    Object.assign(this.root, { value: undefined, error: null, properties: {} });
    this.variables = new Map([[ROOT, this.root]]);
    this.#released.clear();
    this.#outgoing = [];
  }

  /** @param {Variable} variable @param {any} data */
  #updated(variable, data) {
    for (const [name, value] of Object.entries(data.properties ?? {})) {
      const key = name.replace(/:(high|med|low)$/, "");
      if (variable === this.root && key === "viewdefs") this.onViewdefs(value);
      else variable.properties[key] = value ?? undefined;
    }
    if ("value" in data) variable.value = data.value;
    // A failed path comes as an error and a null, in either order: that null is no recovery.
    if (variable.error?.frame !== this.#frame) variable.error = null;
    variable.notify();
  }

  #schedule() {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      for (const varId of this.#takeReleased()) this.#outgoing.push({ type: "destroy", data: { varId } });
      this.#flush();
    });
  }

  #flush() {
    const messages = this.#outgoing;
    const userEvent = this.#userEvent;
    this.#outgoing = [];
    this.#userEvent = false;
    if (!messages.length || this.transmit(JSON.stringify({ userEvent, messages }))) return;
    // Offline. Creates come again with `resume`; what was typed is kept; a click is lost, since
    // one that acts a minute late would surprise.
    for (const { type, data } of messages) {
      const variable = this.variables.get(data.varId);
      if (variable && type === "update") variable.unsent = variable.properties.access !== "action";
    }
  }

  /** Removes what nobody took up again. @returns the topmost ids: the server does those below */
  #takeReleased() {
    const gone = [...this.#released.values()].flat();
    this.#released.clear();
    for (const { id } of gone) this.variables.delete(id);
    return gone.filter(({ parentId }) => this.variables.has(parentId)).map(({ id }) => id);
  }
}

/** @param {Variable} variable */
function creation({ id, parentId, initial }) {
  return { id, parentId, properties: initial };
}

/** @param {number} parentId @param {Properties} properties */
function poolKey(parentId, properties) {
  return parentId + JSON.stringify(properties);
}
