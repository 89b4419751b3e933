/** What a network costs: seconds per message, and per byte. */
export interface Network {
  readonly latency: number;
  readonly perByte: number;
}

/** Seconds that an all-reduce of so many bytes takes among ranks that are all alike and all at work. */
export type CostModel = (network: Network, bytes: number, ranks: number) => number;

/** 2 (N - 1) messages of a part each (Patarasu and Yuan 2009). */
export const ring: CostModel = ({ latency, perByte }, bytes, ranks) =>
  2 * (ranks - 1) * latency + ((2 * (ranks - 1)) / ranks) * bytes * perByte;

/** Halving and doubling: log N messages there and back, of as many bytes as the ring's (Thakur, Rabenseifner and Gropp 2005). */
export const tree: CostModel = ({ latency, perByte }, bytes, ranks) =>
  2 * Math.ceil(Math.log2(ranks)) * latency + ((2 * (ranks - 1)) / ranks) * bytes * perByte;

/** Share of its time that a rank computes, where each keeps its batch and nothing overlaps. */
export const efficiency = (model: CostModel, network: Network, bytes: number, ranks: number, step: number): number =>
  step / (step + model(network, bytes, ranks));

/** The network that fits measured times of two ranks best, by least squares. @param times seconds by bytes */
export function fitNetwork(times: readonly (readonly [bytes: number, seconds: number])[]): Network {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [bytes, seconds] = [mean(times.map(([each]) => each)), mean(times.map(([, each]) => each))];
  const covariance = mean(times.map(([x, y]) => (x - bytes) * (y - seconds)));
  const perByte = Math.max(0, covariance / mean(times.map(([x]) => (x - bytes) ** 2)));
  /** Two messages of half the bytes each way, for either model. */
  return { perByte, latency: Math.max(0, (seconds - bytes * perByte) / 2) };
}
