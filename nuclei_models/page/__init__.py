"""The page: upload an image, see what both networks make of it, take the results away.

Data flows one way: `limits`, `levels` and `networks`, then `state` (an image and what the networks said of it,
frozen), `store` (those objects, each for a while), `visitors` (what each visitor asks; only the last question
counts), `opening` (a file -> an image), `pictures` (state -> what is seen), `numbers` (state -> what is counted),
`files` (state -> what is downloaded), `choosing` and `handlers` (an event -> new values) and `layout` (the
components, and which event calls what).
"""
