// What Python does for the CAM explorer: the colours follow the sign, and the sign the colours.

import { Model } from "./model.js";

export async function explorerHalf(el, { state }, { show }) {
  const signedOf = (colour) => state._colours.find(([name]) => name === colour)[2];
  const hear = (changes, model) => {
    if ("colour" in changes) model.put({ signed: signedOf(model.get("colour")) });
    else if ("signed" in changes && signedOf(model.get("colour")) !== changes.signed)
      model.put({ colour: state._colours.find(([, , signed]) => signed === changes.signed)[0] });
  };
  await show("cam_explorer", new Model(state, hear), el);
}
