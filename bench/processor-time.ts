/** Milliseconds that this process has computed so far, on all threads. */
export const processorTime = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
