/**
 * Writes experiments/README.md: what the experiments came to, from their comparison.json.
 *
 *     npm run experiment -- results
 */

import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { differentRates, otherwiseByBootstrap, reachOfAccuracy, summaryOf } from "./agr-effect.ts";
import { alphaSection } from "./alpha-table.ts";
import { outcomeOf, TITLES } from "./outcome.ts";
import { sectionOf } from "./outcome-tables.ts";

function bootstrapText(): string {
  const otherwise = otherwiseByBootstrap();
  return otherwise.length === 0 ? "judges AGR alike" : `judges AGR otherwise in ${otherwise.join("; ")}`;
}

const ENOUGH_SEEDS = 10;

function fewSeedsText(): string {
  const few = Object.entries(TITLES).flatMap(([name, title]) => {
    const outcome = outcomeOf(name);
    return outcome === null || outcome.seeds.length >= ENOUGH_SEEDS ? [] : [`"${title}" (${outcome.seeds.length})`];
  });
  if (few.length === 0) return "";
  return `- Fewer than ${ENOUGH_SEEDS} seeds were compared in ${few.join("; ")}: their intervals are wider than they need be.\n`;
}

/** The text of experiments/README.md. */
export function resultsDocument(): string {
  const sections = Object.entries(TITLES).flatMap(([name, title]) => {
    const outcome = outcomeOf(name);
    return outcome === null ? [] : [sectionOf(name, title, outcome)];
  });
  return `# Is AGR worth it?

Made by \`npm run experiment -- results\` from the \`comparison.json\` of each experiment; a test compares.

${summaryOf()}.

Each folder has a configuration that \`onnx-agr compare\` runs, and a model, freshly initialized by \`export-images.py\`, \`export-unet.py\` or \`export-albert.py\` with PyTorch. \`npm run experiment -- <name>\` runs one; it goes on where it was broken off. \`npm run experiment -- repeat <name>\` trains one of its compared runs again and says whether each loss is the same, bit by bit. Later code may round otherwise: with the code of the commit that is named below each table they are the same (\`git checkout <commit> -- src package-lock.json\`, and back with \`HEAD\` in its place).

- Images: Fashion-MNIST (Debian's dataset-fashion-mnist), the first 12,800 training images to train with, the last 5,000 to compare by. The test images are not used. AdamW and Adan, each without AGR and with it; two epochs of 400 steps of 32 samples.
- Labels with noise: 40 % of the labels to train with are drawn anew from all classes; AdamW.
- No warm-up, and small tensors alone (only biases and norms are trained): AdamW, one epoch of 400 steps. Without warm-up the learning rates are compared one by one, and none is chosen.
- Options of AGR: its sums per tensor, per channel, and over all parameters together, which is what some community optimizers call AGR; strength 0 is none. The small ViT with AdamW, all at one rate.
- Image generation: the noise in images of three of the classes (trousers, bags, ankle boots) is predicted, at 200 steps of diffusion (Ho et al. 2020). 12,800 images with noise, each seen once, in 800 steps of 16; gradients clipped at norm 1 before AGR; Adan. The loss is the mean squared error over 2,000 images with noise that are not trained with.
- Masked letters: text of Debian's package fortunes, 16 characters a sample, 15 % of them masked. AdamW with a weight decay of 5e-4, 800 steps of 64 samples. Whole words instead of letters were tried: in 2,000 steps the net learned no more than how frequent each is.
- Sentence order: the first six words of each fortune and the last six, in the right order or the wrong one. AdamW at three weight decays, 250 steps of 32 samples.

Every option set is trained with each learning rate of one list, and keeps the best, found with a seed that is not compared. Then come the seeds that are compared, each with the same initial weights and the same order of samples in all sets.
The rate goes up over some steps and down on a cosine. Differences are means over the pairs of a seed, their intervals are Student's t.

${[...sections, alphaSection()].join("\n\n")}

## With other data

- CIFAR-10 and CIFAR-100 are read as they are: \`python3 experiments/export-images.py --channels 3 --size 32 --classes 100 --folder cifar convnext\`, then \`onnx-agr compare cifar/convnext/model.onnx --config experiments/convnext/onnx-agr.config.yaml --data train.bin --validation test.bin --output cifar/runs\`. Without \`--seeds\`, \`--sweep-lr\` and \`--epochs\` they are those of the file.
- Tiny ImageNet has its images one folder deeper than they are read, and those of its validation without folders. Put them in one folder per class, export a model with \`--channels 3 --size 64 --classes 200\`, and give the folders as \`--data\` and \`--validation\`.
- WikiText, or any text: \`FORTUNES=<folder of text files> npm run experiment -- order\` (or \`albert\`), with an empty \`experiments/data\`. Texts are divided by lines of \`%\`, or where there are none, line by line.

## What cannot be concluded

- These are small nets, short trainings and little data. Nothing follows for large models, long trainings, or nets that are trained until they overfit, where regularization would show.
- "No measurable difference" is not "no difference": an effect that is smaller than the interval would not be seen, and differences as small as some of the paper's lie inside these intervals. Taken together, those of accuracy reach from ${reachOfAccuracy()} points.
- Steps to where the other ends are counted in the pairs of which both got there, and only where nets were evaluated, which is two to four times in a training: they say nothing finer, and leave out the trainings that never got there.
- A seed decides the initial weights and the order together; the two are not told apart. The samples with which nets are compared are the same for all.
- The best rate was found with one seed each. Where neighbours in the list are close, another seed may prefer the other. The sides have different rates in ${differentRates().join("; ")}: what differs there is the rate and AGR together.
- The verdicts of the tables are not corrected for how many there are: of twenty at 95 %, one finds a difference where there is none. What is left with Holm's correction over the comparisons of AGR with its absence stands above.
${fewSeedsText()}- Student's t takes the differences for normal, which few pairs cannot show. The percentile bootstrap, whose intervals are in the files and too narrow for few pairs, ${bootstrapText()}.
- The U-Net was trained for 800 steps. Some of what it draws can be told for boots and bags, the rest is of no class, and by both scores it is far from real images: that both sides are as far says little of nets that draw well. The classifier that scores them is small: its distances compare the two sides with each other, and with nothing that is published.
`;
}

const FILE = fileURLToPath(new URL("README.md", import.meta.url));

/** Writes the page. */
export function writeResults(): void {
  writeFileSync(FILE, resultsDocument());
}
