// What Python does for a quiz: it marks the answers, as `exercises.quiz.mark` does.

import { Model } from "./model.js";

function summary(chosen, right) {
  if (!chosen.length) return "Not answered: choose first.";
  if (String(chosen) === String(right)) return "✓ Correct.";
  const part = chosen.length < right.length && chosen.every((i) => right.includes(i));
  return part ? "✗ Not right yet: what you chose is right, but there is more." : "✗ Not right yet.";
}

/** The mark of one question; `options` are pairs of whether it is right and what to say of it. */
export function markOf(options, chosen) {
  if (chosen === null) return null;
  const picked = [...chosen].sort((a, b) => a - b);
  const right = options.flatMap(([correct], i) => (correct ? [i] : []));
  return { summary: summary(picked, right), feedback: picked.map((i) => [i, options[i][1]]) };
}

export async function quizHalf(el, { state, answers }, { show }) {
  const hear = (changes, model) => {
    if ("chosen" in changes) model.put({ marks: changes.chosen.map((chosen, i) => markOf(answers[i], chosen)) });
  };
  await show("quiz", new Model(state, hear), el);
}
