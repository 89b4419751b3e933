/** Gives everything else that waits a turn: input, timers, messages. In Node and in browsers. */
export async function turn(): Promise<void> {
  await new Promise<void>((done) => {
    if (typeof setImmediate === "function") {
      setImmediate(done);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(null);
  });
}
