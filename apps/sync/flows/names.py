"""Names and urgency of the flows, without importing them: what the queue needs. 1 is most urgent; what blocks money first."""

PRIORITIES: dict[str, int] = {
    "payment.apply": 2,
    "dispute.take": 2,
    "invoice.sync": 2,
    "customer.sync": 3,
    "deal.provision": 4,
    "project.provision": 4,
    "ratecard.push": 4,
    "delivery.sync": 5,
    "receipt.match": 5,
    "taxid.check": 5,
    "connection.watch": 6,
    "catalogue.read": 7,
}
