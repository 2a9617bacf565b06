"""Everything made from the rows on disk: numbers, published numbers, figures, pages and exports.

Imports notation and runs alone; no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["export", "figures", "numbers", "pages", "published"])
