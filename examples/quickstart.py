"""Which words made the model say "hospital"?"""

import am_inseq

model = am_inseq.load_model("demo/lm", "saliency")
out = model.attribute("George was sick yesterday. His colleagues asked him to come")
out.show()
