// The variables of this page: what the server sent, who wants to know, and what goes out.

/**
 * @typedef {{type: string, data: any}} Message
 * @typedef {{code: string, description: string, frame: number}} VariableError
 */

/** One variable. Its value is `undefined` until the server has sent one. */
export class Variable {
  /**
   * @param {number} id
   * @param {number} parentId
   * @param {Record<string, string>} properties
   */
  constructor(id, parentId, properties) {
    this.id = id;
    this.parentId = parentId;
    /** As sent with `create`: a reconnect sends the same again. */
    this.initial = properties;
    this.properties = { ...properties };
    /** @type {any} */
    this.value = undefined;
    /** @type {VariableError | null} */
    this.error = null;
    /** @type {Set<() => void>} */
    this.watchers = new Set();
    /** @type {{value: any} | null} written while offline, not sent yet */
    this.unsent = null;
  }

  /**
   * Calls `watcher` whenever value, properties or error may have changed.
   * @param {() => void} watcher
   * @returns {() => void} ends it
   */
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

/** The id of the application's variable, which is there from the start. */
export const ROOT = 1;

export class Store {
  /** @param {(text: string) => boolean} transmit sends a frame; false when offline */
  constructor(transmit) {
    this.transmit = transmit;
    this.root = new Variable(ROOT, 0, {});
    /** @type {Map<number, Variable>} */
    this.variables = new Map([[ROOT, this.root]]);
    /** @type {(text: string) => void} called with the JSON text of new viewdefs */
    this.onViewdefs = () => {};
    /** @type {Map<string, (data: any) => void>} messages that are not about a variable */
    this.handlers = new Map();
    this.onFrameEnd = () => {};
    this.nextId = 2;
    this.frame = 0;
    /** @type {Message[]} */
    this.outgoing = [];
    this.userEvent = false;
    this.flushing = false;
    /** @type {Map<string, Variable[]>} given up in this microtask, and free to be taken again */
    this.released = new Map();
  }

  /**
   * A variable for a path below `parentId`. One with the same parent and properties that was
   * released in this microtask is taken up again: so a re-render keeps its variables.
   * @param {number} parentId
   * @param {Record<string, string>} properties
   * @returns {Variable}
   */
  create(parentId, properties) {
    const again = this.released.get(poolKey(parentId, properties))?.pop();
    if (again) return again;
    const variable = new Variable(this.nextId++, parentId, properties);
    this.variables.set(variable.id, variable);
    this.#queue(createMessage(variable));
    return variable;
  }

  /**
   * Gives a variable up. Unless somebody takes it up again in this microtask, it is destroyed.
   * @param {Variable} variable
   */
  release(variable) {
    if (this.variables.get(variable.id) !== variable) return;
    const key = poolKey(variable.parentId, variable.initial);
    const pool = this.released.get(key);
    if (pool) pool.push(variable);
    else this.released.set(key, [variable]);
    this.#schedule();
  }

  /**
   * Writes a variable.
   * @param {Variable} variable
   * @param {any} value
   */
  update(variable, value) {
    const action = variable.properties.access === "action";
    if (!action) variable.value = value;
    variable.error = null; // the server says so again if it fails again
    this.#queue({ type: "update", data: { varId: variable.id, value } });
    this.userEvent = true;
    variable.notify();
  }

  /**
   * Sends any other message with the batch of this microtask.
   * @param {string} type
   * @param {any} data
   */
  post(type, data) {
    this.#queue({ type, data });
  }

  /**
   * Takes one frame of the server in.
   * @param {unknown} messages
   */
  receive(messages) {
    this.frame++;
    for (const message of Array.isArray(messages) ? messages : [messages]) {
      const { type, data = {} } = message ?? {};
      const variable = this.variables.get(data.varId);
      if (type === "update") {
        if (variable) this.#updated(variable, data);
      } else if (type === "error") {
        console.warn(`[ui] ${data.code}: ${data.description}`, variable?.initial.path ?? "");
        if (!variable) continue;
        variable.error = { code: data.code, description: data.description, frame: this.frame };
        variable.notify();
      } else if (type === "destroy") {
        if (variable && variable !== this.root) this.#destroyed(variable);
      } else {
        this.handlers.get(type)?.(data);
      }
    }
    this.onFrameEnd();
  }

  /** A new socket knows nothing: tells it all we have, parents (lower ids) first. */
  resume() {
    this.#dropReleased();
    this.outgoing = [{ type: "watch", data: { varId: ROOT } }];
    const writes = [];
    for (const variable of this.variables.values()) {
      if (variable !== this.root) this.outgoing.push(createMessage(variable));
      if (variable.unsent) {
        writes.push({ type: "update", data: { varId: variable.id, value: variable.unsent.value } });
        this.userEvent = true;
      }
      variable.unsent = null;
    }
    this.outgoing.push(...writes);
    this.#flush();
  }

  /** Forgets everything but the root, without a word to the server: its state was replaced. */
  reset() {
    this.root.value = undefined;
    this.root.error = null;
    this.root.properties = {};
    this.variables = new Map([[ROOT, this.root]]);
    this.released.clear();
    this.outgoing = [];
    this.userEvent = false;
  }

  /**
   * @param {Variable} variable
   * @param {any} data
   */
  #updated(variable, data) {
    for (const [name, value] of Object.entries(data.properties ?? {})) {
      const key = name.replace(/:(high|med|low)$/, "");
      if (variable === this.root && key === "viewdefs") this.onViewdefs(value);
      else if (value === null) delete variable.properties[key];
      else variable.properties[key] = value;
    }
    if ("value" in data) variable.value = data.value;
    // A failed path comes as an error and a null, in either order: the null is no recovery.
    if (variable.error && variable.error.frame !== this.frame) variable.error = null;
    variable.notify();
  }

  /** @param {Variable} variable */
  #destroyed(variable) {
    this.variables.delete(variable.id);
    variable.value = null;
    variable.notify();
  }

  /** @param {Message} message */
  #queue(message) {
    this.outgoing.push(message);
    this.#schedule();
  }

  #schedule() {
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(() => {
      this.flushing = false;
      const dropped = this.#dropReleased();
      for (const id of dropped) this.outgoing.push({ type: "destroy", data: { varId: id } });
      this.#flush();
    });
  }

  #flush() {
    const { outgoing: messages, userEvent } = this;
    this.outgoing = [];
    this.userEvent = false;
    if (!messages.length || this.transmit(JSON.stringify({ userEvent, messages }))) return;
    // Offline: creates come again with `resume`, a click is lost (late ones would surprise),
    // what was typed is kept.
    for (const { type, data } of messages) {
      const variable = type === "update" ? this.variables.get(data.varId) : undefined;
      if (variable && variable.properties.access !== "action") {
        variable.unsent = { value: data.value };
      }
    }
  }

  /**
   * Removes what nobody took up again, with everything below it.
   * @returns {number[]} the topmost of them: the server destroys their descendants itself
   */
  #dropReleased() {
    const dead = new Set([...this.released.values()].flat());
    this.released.clear();
    const top = [];
    for (const variable of dead) {
      if (!dead.has(/** @type {any} */ (this.variables.get(variable.parentId)))) top.push(variable.id);
    }
    for (const variable of dead) this.variables.delete(variable.id);
    return top;
  }
}

/** @param {Variable} variable @returns {Message} */
function createMessage({ id, parentId, initial }) {
  return { type: "create", data: { id, parentId, properties: initial } };
}

/** @param {number} parentId @param {Record<string, string>} properties */
function poolKey(parentId, properties) {
  return `${parentId} ${JSON.stringify(properties)}`;
}
