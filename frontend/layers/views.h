/* Layers of one and three spatial dimensions as ops of two on views: a line is a picture of one row; of a
 * volume the planes are so many channels more, and then each plane is one row. Functions in views.c. */
#ifndef FRONTEND_LAYERS_VIEWS_H
#define FRONTEND_LAYERS_VIEWS_H

#include "frontend/layers.h"

enum { NO_AXIS = -1 }; /* the op leaves this dimension of the picture alone */

/* Builds the op on the picture `x`, whose height and width are the layer's spatial dimensions rows and
 * columns. */
typedef ValueId PictureOp(LayerCall *c, ValueId x, int rows, int columns, const char *name);

/* The input has the dimensions that the row says; else a diagnostic. */
bool layer_need_rank(const LayerCall *c);
/* x with the dimensions `shape` after the batch. */
ValueId layer_view(LayerCall *c, ValueId x, IntList shape, const char *name);
/* The layer, of one, two or three spatial dimensions, by `op`: once, or over height and width and then over
 * depth. */
ValueId layer_by_pictures(LayerCall *c, PictureOp *op);
/* "depth" */
const char *layer_axis_name(const LayerCall *c, uint32_t axis);

#endif
