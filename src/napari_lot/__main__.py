"""``python -m napari_lot``: the command line."""

from napari_lot.cli import main

if __name__ == "__main__":
    main()
