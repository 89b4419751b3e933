import { uniqueRows } from "../../../ops/unique-rows.ts";
import type { ShardingRule } from "../shard-call.ts";
import { ARRANGING_SHARDING } from "./arranging.ts";
import { ELEMENTWISE_SHARDING } from "./elementwise.ts";
import { NETWORK_SHARDING } from "./networks.ts";
import { PRODUCT_SHARDING } from "./products.ts";
import { REDUCING_SHARDING } from "./reducing.ts";
import { scan } from "./scan.ts";
import { SELECTING_SHARDING } from "./selecting.ts";

/** By operator of ONNX's own domain. What has no row stays out of what parts of a batch compute. */
export const SHARDING_RULES: ReadonlyMap<string, ShardingRule> = uniqueRows<string, ShardingRule>(
  "sharding rules",
  ARRANGING_SHARDING,
  ELEMENTWISE_SHARDING,
  NETWORK_SHARDING,
  PRODUCT_SHARDING,
  REDUCING_SHARDING,
  [["Scan", scan]],
  SELECTING_SHARDING,
);
