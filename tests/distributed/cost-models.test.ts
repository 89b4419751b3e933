import { describe, expect, it } from "vitest";
import { efficiency, fitNetwork, ring, tree } from "../../bench/cost-models.ts";

const NETWORK = { latency: 1e-5, perByte: 1e-9 };

describe("cost models of an all-reduce", () => {
  it("count messages and bytes", () => {
    /** Four ranks, 4,000 bytes: six messages of 1,000 bytes each, one after another. */
    expect(ring(NETWORK, 4000, 4)).toBeCloseTo(6 * (1e-5 + 1000e-9), 12);
    /** Halves and quarters there and back: 2,000 + 1,000 bytes twice. */
    expect(tree(NETWORK, 4000, 4)).toBeCloseTo(4 * 1e-5 + 2 * 3000e-9, 12);
    expect(ring(NETWORK, 4000, 2)).toBe(tree(NETWORK, 4000, 2));
  });

  it("give the share of the time that is computed", () => {
    const step = ring(NETWORK, 1e6, 8);
    expect(efficiency(ring, NETWORK, 1e6, 8, step)).toBeCloseTo(0.5, 12);
    expect(efficiency(tree, NETWORK, 1e6, 1024, step)).toBeGreaterThan(efficiency(ring, NETWORK, 1e6, 1024, step));
  });

  it("find the network that made the times of two ranks", () => {
    const times = [4e3, 1e5, 1e6].map((bytes) => [bytes, ring(NETWORK, bytes, 2)] as const);
    const found = fitNetwork(times);
    expect(found.latency).toBeCloseTo(NETWORK.latency, 12);
    expect(found.perByte).toBeCloseTo(NETWORK.perByte, 15);
  });
});
