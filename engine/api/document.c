#include "api/document.h"

#include "openapi.h"

void hw_document_get(struct hw_call *call)
{
    /* RFC 9512 */
    hw_call_text(call, 200, "application/yaml", hw_slice(hw_openapi, hw_openapi_bytes));
}
